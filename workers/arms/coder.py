"""The coder: has a program written and runs it with its check, in the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import Code, code_from
from workers.direct import Arm
from workers.direct_work import MAX_BACKOFF, do_task, outages_do_not_count
from workers.forms import Check, Given, Result, material_of
from workers.means import STANDARD, TIME_LIMIT, Means, means_here
from workers.resources import MODEL, TASKS, WORKBENCH, lifespan_of
from workers.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.sandbox.outcome import Limits

lifespan = lifespan_of(TASKS, MODEL, WORKBENCH)

_FILE: Final = "solution.py"
_TOLD_CHARACTERS: Final = 600


@octoqueue.actor(queue="coder", max_retries=3, time_limit=TIME_LIMIT)
async def write_program(goal: str, given: list[Given], findings: list[str]) -> Result:
    """Have a program written for a goal, run its check, and return both."""
    return await program_written(goal, given=given, findings=findings, means=means_here())


@octoqueue.actor(
    queue="coder",
    retry_when=outages_do_not_count,
    max_backoff=MAX_BACKOFF,
    time_limit=TIME_LIMIT,
    on_dead_letter="fail_direct_task",
)
async def write_code(task_id: str, goal: str) -> None:
    """Do a task that names this arm."""
    await do_task(task_id, goal, arm=Arm.CODER, work=program_written)


async def program_written(
    goal: str,
    *,
    given: Sequence[Given] = (),
    findings: Sequence[str] = (),
    means: Means = STANDARD,
) -> Result:
    """Have a program written for a goal, run its check, and return both.

    Raises:
        SandboxUnavailable: the sandbox was lost; it is worth trying again.
    """
    prompt = Prompt(
        purpose=Purpose.CODE,
        goal=goal,
        material=material_of(given),
        findings=tuple(findings),
        tier=means.tier,
    )
    completion = await MODEL.get().complete(prompt)
    code = code_from(completion)
    check = await checked(code, WORKBENCH.get().sandbox, limits=means.limits)
    return Result(
        summary=code.remark or "A program was written.",
        output={
            "language": "python",
            "code": code.code,
            "check": code.check,
            "model": completion.model,
        },
        checks=[check],
    )


async def checked(code: Code, sandbox: Sandbox, *, limits: Limits) -> Check:
    """Run a program, its check after it, and return what came of it.

    Raises:
        SandboxUnavailable: the sandbox was lost; it is worth trying again.
    """
    name = "program runs and passes its check" if code.check else "program runs"
    python = await sandbox.python()
    if python is None:
        return Check(name=name, passed=False, detail="no Python can run in this machine's sandbox")
    files = {_FILE: f"{code.code}\n\n{code.check}"}
    # Isolated: no site-packages, no environment, not even its own folder on the path.
    outcome = await sandbox.run(python, "-I", "-S", "-B", _FILE, files=files, limits=limits)
    how = f"exit code {outcome.exit_code}" if outcome.exit_code is not None else outcome.ending
    last_words = outcome.stderr.strip()[-_TOLD_CHARACTERS:]
    return Check(name=name, passed=outcome.succeeded, detail=f"{how} {last_words}".strip())
