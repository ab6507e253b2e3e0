"""The coder: has a program written and runs it with its check, in the sandbox."""

from __future__ import annotations

from typing import Final

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import Code, code_from
from workers.arms.hand_over import ARM_TIME_LIMIT, Check, Result
from workers.arms.judge import hand_in
from workers.resources import MODEL, WORKBENCH, lifespan_of
from workers.sandbox.sandbox import Sandbox

lifespan = lifespan_of(MODEL, WORKBENCH)

_FILE: Final = "solution.py"
_TOLD_CHARACTERS: Final = 600


@octoqueue.actor(
    queue="coder", max_retries=3, time_limit=ARM_TIME_LIMIT, on_dead_letter="fail_task"
)
async def write_code(task_id: str, goal: str) -> None:
    """Have a program written for a goal, run its check, and hand both to the judge."""
    completion = await MODEL.get().complete(Prompt(purpose=Purpose.CODE, goal=goal))
    code = code_from(completion)
    check = await checked(code, WORKBENCH.get().sandbox)
    result = Result(
        summary=code.remark or "A program was written.",
        output={
            "language": "python",
            "code": code.code,
            "check": code.check,
            "model": completion.model,
        },
        checks=[check],
    )
    await hand_in(task_id, goal, arm="coder", result=result)


async def checked(code: Code, sandbox: Sandbox) -> Check:
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
    outcome = await sandbox.run(python, "-I", "-S", "-B", _FILE, files=files)
    how = f"exit code {outcome.exit_code}" if outcome.exit_code is not None else outcome.ending
    last_words = outcome.stderr.strip()[-_TOLD_CHARACTERS:]
    return Check(name=name, passed=outcome.succeeded, detail=f"{how} {last_words}".strip())
