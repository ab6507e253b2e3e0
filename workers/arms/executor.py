"""The executor: finds the command that a goal asks for and really runs it, in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import command_from
from workers.direct import Arm
from workers.direct_work import MAX_BACKOFF, do_task, outages_do_not_count
from workers.forms import Given, Refusal, Result, material_of
from workers.means import STANDARD, TIME_LIMIT, Means, means_here
from workers.resources import MODEL, TASKS, WORKBENCH, lifespan_of
from workers.sandbox.outcome import Ending, Outcome
from workers.sandbox.programs import Command
from workers.sandbox.programs import Refusal as NotAllowed

if TYPE_CHECKING:
    from collections.abc import Sequence

lifespan = lifespan_of(TASKS, MODEL, WORKBENCH)

_TOLD_CHARACTERS: Final = 300


@octoqueue.actor(queue="executor", max_retries=3, time_limit=TIME_LIMIT)
async def run_command(goal: str, given: list[Given], findings: list[str]) -> Result:
    """Run the command for a goal and return what came of it."""
    return await command_run(goal, given=given, findings=findings, means=means_here())


@octoqueue.actor(
    queue="executor",
    retry_when=outages_do_not_count,
    max_backoff=MAX_BACKOFF,
    time_limit=TIME_LIMIT,
    on_dead_letter="fail_direct_task",
)
async def execute(task_id: str, goal: str) -> None:
    """Do a task that names this arm."""
    await do_task(task_id, goal, arm=Arm.EXECUTOR, work=command_run)


async def command_run(
    goal: str,
    *,
    given: Sequence[Given] = (),
    findings: Sequence[str] = (),
    means: Means = STANDARD,
) -> Result:
    """Run the command for a goal and return what came of it.

    Raises:
        SandboxUnavailable: the sandbox was lost; it is worth trying again.
    """
    prompt = Prompt(
        purpose=Purpose.COMMAND,
        goal=goal,
        material=material_of(given),
        findings=tuple(findings),
        tier=means.tier,
    )
    choice = command_from(await MODEL.get().complete(prompt))
    if choice.argv is None:
        return _refused("no_command", choice.reason)
    bench = WORKBENCH.get()
    command = bench.rules.check(choice.argv)
    if isinstance(command, NotAllowed):
        return _refused("command_refused", command.reason)
    outcome = await bench.sandbox.run(command.program, *command.arguments, limits=means.limits)
    return result_from(command, outcome)


def _refused(code: str, reason: str) -> Result:
    refusal = Refusal(code=code, message=reason)
    return Result(summary="Nothing was run.", output={}, checks=[], refusal=refusal)


def result_from(command: Command, outcome: Outcome) -> Result:
    """Return what the judge gets to see of a command that ran."""
    lines = len(outcome.stdout.splitlines())
    shown = f"{lines} line{'' if lines == 1 else 's'}"
    told = outcome.stderr.strip()[:_TOLD_CHARACTERS] or "it wrote no error"
    how = f"exit code {outcome.exit_code}" if outcome.exit_code is not None else outcome.ending
    was_cut = outcome.ending is Ending.OUT_OF_OUTPUT
    has_gaps = bool(outcome.stdout) and command.is_partial(outcome.exit_code)
    return Result(
        summary=(
            f"`{command}` wrote more than is kept; these are the first {shown}."
            if was_cut
            else f"`{command}` wrote {shown}: {how}."
        ),
        output={
            "command": str(command),
            "exit_code": outcome.exit_code,
            "ending": outcome.ending,
            "stdout": outcome.stdout,
            "stderr": outcome.stderr,
            "truncated": outcome.is_truncated,
            "cpu_seconds": outcome.cpu_seconds,
            "wall_seconds": outcome.wall_seconds,
        },
        checks=[
            {
                "name": "command succeeded",
                "passed": outcome.succeeded or was_cut or has_gaps,
                "detail": f"`{command}` ended with {how}: {told}",
            }
        ],
    )
