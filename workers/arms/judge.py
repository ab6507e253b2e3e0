"""The judge: reviews results and settles tasks; every task ends here."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import review_from
from octoqueue.workflows.tasks import TaskError, TaskId
from workers.arms.hand_over import attempts_here, lane_here, outages_do_not_count
from workers.forms import Result, Review
from workers.means import means_here
from workers.resources import MODEL, TASKS, lifespan_of

if TYPE_CHECKING:
    from octoqueue.workflows.tasks import Verdict

log = logging.getLogger(__name__)

lifespan = lifespan_of(TASKS, MODEL)

QUEUE: Final = "judge"
_TIME_LIMIT: Final = timedelta(seconds=30)
_MAX_BACKOFF: Final = timedelta(seconds=10)


@octoqueue.actor(
    queue=QUEUE,
    retry_when=outages_do_not_count,
    max_backoff=_MAX_BACKOFF,
    time_limit=_TIME_LIMIT,
)
async def fail_task(
    message_id: str, actor: str, args: list[Any], kwargs: dict[str, Any], error: dict[str, Any]
) -> None:
    """Fail the task of a message that went to the dead letters."""
    del args
    task_id = kwargs.get("task_id")
    if not isinstance(task_id, str):
        log.error("dead_letter_without_task", extra={"message_id": message_id, "actor": actor})
        return
    why = TaskError(
        code="arm_failed",
        message=f"{actor} gave up: {error.get('error')}: {error.get('message')}",
    )
    verdict = await TASKS.get().fail(
        TaskId(task_id), error=why, attempts=int(error.get("attempt", 0)) + 1
    )
    _tell("task_failed", task_id, verdict)


@octoqueue.actor(
    queue=QUEUE,
    retry_when=outages_do_not_count,
    max_backoff=_MAX_BACKOFF,
    time_limit=_TIME_LIMIT,
    on_dead_letter="fail_task",
)
async def judge(task_id: str, goal: str, arm: str, result: Result, attempts: int) -> None:
    """Review an arm's result; complete its task with it, or fail the task with the reason."""
    completion = await MODEL.get().complete(
        Prompt(purpose=Purpose.REVIEW, goal=goal, material=orjson.dumps(result).decode())
    )
    answer = review_from(completion)
    tasks, ident = TASKS.get(), TaskId(task_id)
    if answer.accepted:
        told = {"remark": answer.remark, "model": completion.model}
        whole = {"arm": arm, **result, "review": told}
        verdict = await tasks.complete(ident, result=whole, attempts=attempts)
        _tell("task_completed", task_id, verdict)
    else:
        error = TaskError(code="result_rejected", message=answer.remark)
        verdict = await tasks.fail(ident, error=error, attempts=attempts)
        _tell("task_failed", task_id, verdict)


@octoqueue.actor(
    queue=QUEUE,
    retry_when=outages_do_not_count,
    max_backoff=_MAX_BACKOFF,
    time_limit=_TIME_LIMIT,
    on_dead_letter="fail_task",
)
async def reject(task_id: str, code: str, reason: str, attempts: int) -> None:
    """Fail a task that its arm found impossible; trying again would not help."""
    verdict = await TASKS.get().fail(
        TaskId(task_id), error=TaskError(code=code, message=reason), attempts=attempts
    )
    _tell("task_failed", task_id, verdict)


@octoqueue.actor(queue=QUEUE, max_retries=3, time_limit=_TIME_LIMIT)
async def review(goal: str, result: Result, steps: list[Result]) -> Review:
    """Say whether a result serves its goal, and what is to be mended when it does not.

    `steps` are the results it rests on, without their output.
    """
    material = orjson.dumps({**result, "steps": steps}).decode()
    prompt = Prompt(purpose=Purpose.REVIEW, goal=goal, material=material, tier=means_here().tier)
    completion = await MODEL.get().complete(prompt)
    answer = review_from(completion)
    return Review(
        accepted=answer.accepted,
        remark=answer.remark,
        findings=list(answer.findings),
        model=completion.model,
    )


async def hand_in(task_id: str, goal: str, *, arm: str, result: Result) -> None:
    """Send an arm's result to the judge, with the running message's ack."""
    await judge.using(lane=lane_here()).asend(
        task_id=task_id, goal=goal, arm=arm, result=result, attempts=attempts_here()
    )


async def give_up(task_id: str, *, code: str, reason: str) -> None:
    """Send word that an arm cannot do what is asked, with the running message's ack."""
    await reject.using(lane=lane_here()).asend(
        task_id=task_id, code=code, reason=reason, attempts=attempts_here()
    )


def _tell(event: str, task_id: str, verdict: Verdict) -> None:
    if verdict.goes_on:
        log.debug(event, extra={"task_id": task_id})
    else:
        log.info("outcome_dropped", extra={"task_id": task_id, "because": verdict.value})
