"""Errors as JSON, as they stand in journals, and back. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.errors import Cancelled, SignalTimeout, StepFailed

if TYPE_CHECKING:
    from octoqueue.workflows.journal import Step

_MOST_CHARACTERS = 10_000
"""Of a message; a journal is no place for dumps."""
_UNTOLD = b'{"error":"Unknown","message":"nothing was told about it","types":[]}'


def text_of(error: BaseException) -> str:
    """Return what an error says of itself, also when that raises."""
    try:
        return str(error)
    except Exception as again:  # noqa: BLE001 - the class of the first one says more
        return f"it cannot be shown: its text raised {type(again).__name__}"


def error_json(error: BaseException) -> bytes:
    """Return an error as `{"error": class, "message": …, "types": […]}`."""
    told = {
        "error": type(error).__name__,
        "message": text_of(error)[:_MOST_CHARACTERS].encode(errors="replace").decode(),
        "types": [each.__name__ for each in type(error).__mro__[:-1]],
    }
    return orjson.dumps(told)


def failed_json(error: bytes | None, *, cancelled: bool = False) -> bytes:
    """Return the error of a step about which less may be known."""
    if error is not None:
        return error
    return error_json(Cancelled("its message was cancelled")) if cancelled else _UNTOLD


def failure_of(step: Step, *, workflow_id: str) -> StepFailed | SignalTimeout:
    """Return what is raised where the function waits for a step that failed."""
    told: dict[str, Any] = orjson.loads(step.error or _UNTOLD)
    if told.get("error") == SignalTimeout.__name__ and step.due_at_ms is not None:
        return SignalTimeout(workflow_id, step.name, step=step.key)
    return StepFailed(
        step=step.key,
        name=step.name,
        error=str(told.get("error", "")),
        detail=str(told.get("message", "")),
        types=tuple(told.get("types") or ()),
    )
