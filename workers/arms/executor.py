"""The executor: finds the command that a goal asks for and really runs it, in the sandbox."""

from __future__ import annotations

from typing import Final

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import command_from
from workers.arms.hand_over import ARM_TIME_LIMIT, Result
from workers.arms.judge import give_up, hand_in
from workers.resources import MODEL, WORKBENCH, lifespan_of
from workers.sandbox.outcome import Ending, Outcome
from workers.sandbox.programs import Command, Refusal

lifespan = lifespan_of(MODEL, WORKBENCH)

_TOLD_CHARACTERS: Final = 300


@octoqueue.actor(
    queue="executor", max_retries=3, time_limit=ARM_TIME_LIMIT, on_dead_letter="fail_task"
)
async def execute(task_id: str, goal: str) -> None:
    """Run the command for a goal and hand its output to the judge."""
    completion = await MODEL.get().complete(Prompt(purpose=Purpose.COMMAND, goal=goal))
    choice = command_from(completion)
    if choice.argv is None:
        await give_up(task_id, code="no_command", reason=choice.reason)
        return
    bench = WORKBENCH.get()
    command = bench.rules.check(choice.argv)
    if isinstance(command, Refusal):
        await give_up(task_id, code="command_refused", reason=command.reason)
        return
    outcome = await bench.sandbox.run(command.program, *command.arguments)
    await hand_in(task_id, goal, arm="executor", result=result_from(command, outcome))


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
