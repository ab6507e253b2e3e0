"""What an arm does with a task that names it, from its row's start to its end.

    row: running ─► goal screened ─► the arm's work ─► result screened ─► row: completed
                        │ gives orders      │ refused                  out of retries: row failed
                        └───────────────────┴──► row: failed           by `fail_direct_task`

The row is moved by compare-and-set before the message is acked, so a message that is delivered
again changes nothing twice: the arm works once more, and the row keeps its first outcome. A goal
that gives orders to the model reaches no arm that runs something, and secrets are masked in what
callers are given: the same rules as in a workflow, asked in the arm's own process.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import octoqueue
from octoqueue.errors import StoreError
from workers.forms import Refusal
from workers.rows import complete_task, fail_task, start_task
from workers.screening.verdicts import (
    HARMLESS,
    goal_screened,
    result_screened,
    screening_told,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from workers.direct import Arm
    from workers.forms import OutputScreening, Result, Screening

log = logging.getLogger(__name__)

MAX_BACKOFF: Final = timedelta(seconds=10)
_RETRIES: Final = 3
_STEERS: Final = Refusal(
    code="goal_refused",
    message="The goal gives orders to the model, so nothing is run for it.",
)


def outages_do_not_count(attempt: int, error: BaseException) -> bool:
    """Return whether to try again: always when a server was gone, else a few times."""
    return attempt < _RETRIES or (isinstance(error, StoreError) and error.retryable)


async def do_task(
    task_id: str, goal: str, *, arm: Arm, work: Callable[[str], Awaitable[Result]]
) -> None:
    """Do a task and end its row; one that has ended or was taken back is left alone.

    Raises:
        StoreUnavailable: its row cannot be moved now.
        OctoqueueError: the arm cannot work now.
    """
    if not await start_task(task_id, arm):
        return
    incoming = goal_screened(goal)
    if incoming["steers"] and arm not in HARMLESS:
        await _fail(task_id, _STEERS)
        return
    result = await work(goal)
    if "refusal" in result:
        await _fail(task_id, result["refusal"])
        return
    outcome = direct_outcome(
        arm=arm, result=result, incoming=incoming, outgoing=result_screened(result)
    )
    await complete_task(task_id, outcome, _attempts_here())


def direct_outcome(
    *, arm: str, result: Result, incoming: Screening, outgoing: OutputScreening
) -> dict[str, Any]:
    """Return what the row keeps: as of a workflow, without plan and review. Pure."""
    return {
        "arm": arm,
        "summary": result["summary"],
        "output": outgoing.get("output", result["output"]),
        "checks": result["checks"],
        "screening": screening_told(incoming, outgoing),
    }


@octoqueue.actor(
    queue="admin",
    retry_when=outages_do_not_count,
    max_backoff=MAX_BACKOFF,
    time_limit=timedelta(seconds=50),
)
async def fail_direct_task(
    message_id: str, actor: str, args: list[Any], kwargs: dict[str, Any], error: dict[str, Any]
) -> None:
    """Fail the task of a message that went to the dead letters."""
    del args
    task_id = kwargs.get("task_id")
    if not isinstance(task_id, str):
        log.error("dead_letter_without_task", extra={"message_id": message_id, "actor": actor})
        return
    told = f"{actor} gave up: {error.get('error')}: {error.get('message')}"
    await fail_task(task_id, "arm_failed", told, int(error.get("attempt", 0)) + 1)


async def _fail(task_id: str, why: Refusal) -> None:
    await fail_task(task_id, why["code"], why["message"], _attempts_here())


def _attempts_here() -> int:
    """Return how often the running message has been tried, this time included."""
    message = octoqueue.current_message()
    return 1 if message is None else message.attempt + 1
