"""Executions by what people call them: a workflow id, an execution id, filters given as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from octoqueue.errors import InvalidMessage, WorkflowUnknown
from octoqueue.primitives.ids import id_from_text
from octoqueue.workflows.executions import ExecutionId, workflow_id_from
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import ExecutionStatus

if TYPE_CHECKING:
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.protocol import Loaded, WorkflowStore

MOST_NAME_CHARACTERS: Final = 200


async def find_execution(store: WorkflowStore, ident: str) -> Execution:
    """Return the newest execution of the workflow of that id, or the execution of that id.

    Raises:
        WorkflowUnknown: neither is kept.
    """
    try:
        workflow_id = workflow_id_from(ident)
    except InvalidMessage:
        raise WorkflowUnknown(ident) from None
    execution = await store.newest(workflow_id)
    if execution is None and id_from_text(ident.lower()) is not None:
        execution = await store.execution(ExecutionId(ident.lower()))
    if execution is None:
        raise WorkflowUnknown(ident)
    return execution


async def find_history(store: WorkflowStore, ident: str) -> Loaded:
    """Return what `find_execution` returns, with its journal.

    Raises:
        WorkflowUnknown: there is none.
    """
    loaded = await store.history((await find_execution(store, ident)).execution_id)
    if loaded is None:  # forgotten in between
        raise WorkflowUnknown(ident)
    return loaded


def filter_from(
    *,
    status: str | None = None,
    name: str | None = None,
    tenant: str | None = None,
    workflow_id: str | None = None,
    before: str | None = None,
) -> Filter:
    """Return a filter given as text.

    Raises:
        InvalidMessage: a field can never fit; names it.
    """
    return Filter(
        status=None if status is None else _status_from(status),
        name=None if name is None else printable("name", name),
        tenant=None if tenant is None else printable("tenant", tenant),
        workflow_id=None if workflow_id is None else workflow_id_from(workflow_id),
        before=None if before is None else _execution_id_from(before),
    )


def printable(field: str, text: str) -> str:
    """Return a name as it is.

    Raises:
        InvalidMessage: it is empty, too long, or holds characters that cannot be printed.
    """
    if not 1 <= len(text) <= MOST_NAME_CHARACTERS:
        raise InvalidMessage(
            field, f"has {len(text)} characters, it must have 1 to {MOST_NAME_CHARACTERS}"
        )
    if not text.isprintable():
        raise InvalidMessage(field, f"{text!r} holds characters that cannot be printed")
    return text


def _status_from(text: str) -> ExecutionStatus:
    try:
        return ExecutionStatus(text.lower())
    except ValueError:
        known = ", ".join(status.value for status in ExecutionStatus)
        raise InvalidMessage("status", f"{text!r} is none of {known}") from None


def _execution_id_from(text: str) -> ExecutionId:
    if id_from_text(text.lower()) is None:
        raise InvalidMessage("before", f"{text!r} is no execution id")
    return ExecutionId(text.lower())
