"""Programs for processes that are killed: `octoqueue orchestrator` and `octoqueue worker` of this.

Each effect writes a line into the file NOTES names. It is appended in one write, so it survives the
process that wrote it.
"""

from __future__ import annotations

import os
from typing import Any

import octoqueue
from octoqueue.workflows.context import Context  # noqa: TC001 - read at run time
from tests.workflow_program import Interpreter, declare_actors

_file = os.open(os.environ.get("NOTES", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str) -> None:
    """Append a line; one write of this size is never torn."""
    os.write(_file, f"{what}\n".encode())


ACTORS = declare_actors(None, note)


def child() -> Any:  # noqa: ANN401 - the workflow below
    """Return what children are executions of."""
    return program


INTERPRETER = Interpreter(ACTORS, note, child)


@octoqueue.workflow
async def program(ctx: Context, input_: dict[str, Any]) -> int:
    """Carry out a program."""
    return await INTERPRETER.carry_out(ctx, input_)
