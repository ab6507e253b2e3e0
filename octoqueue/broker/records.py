"""What is written about an attempt: results, reasons, what a dead letter's actor gets. Pure."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.errors import PayloadNotSerializable

if TYPE_CHECKING:
    from octoqueue.primitives.body_json import Json
    from octoqueue.primitives.envelope import Call

MAX_MESSAGE_CHARACTERS = 4_096
MAX_TRACE_CHARACTERS = 8_192
_FRAMES = 30
_MOST_TYPES = 20


def result_body(actor: str, value: Json) -> bytes:
    """Return the record of a returned value.

    Raises:
        PayloadNotSerializable: the value has no JSON form.
    """
    try:
        return orjson.dumps({"ok": value})
    except TypeError as error:
        raise PayloadNotSerializable(actor, reason=f"its result: {error}") from None


def reason_of(error: BaseException) -> dict[str, str]:
    """Return class name and message of an error."""
    return {"error": storable(type(error).__name__), "message": message_of(error)}


def error_record(error: BaseException) -> dict[str, Json]:
    """Return what is kept of an error: class and its bases, message, the end of its traceback."""
    trace = "".join(traceback.format_exception(error, limit=-_FRAMES))
    return {
        **reason_of(error),
        "traceback": storable(trace[-MAX_TRACE_CHARACTERS:]),
        "types": types_of(error),
    }


def types_of(error: BaseException) -> list[str]:
    """Return the full names of an error's class and the classes above it."""
    types = type(error).__mro__[:_MOST_TYPES]
    return [storable(f"{each.__module__}.{each.__qualname__}") for each in types]


def message_of(error: BaseException) -> str:
    """Return the message of an error, shortened; an actor's own class may fail to give one."""
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001 - the code of whoever wrote the error
        text = f"<no message: its __str__ raised {type(broken).__name__}>"
    return storable(text[:MAX_MESSAGE_CHARACTERS])


def storable(text: str) -> str:
    """Return `text` without what UTF-8 cannot say: lone surrogates, as in odd file names."""
    return text.encode("utf-8", "backslashreplace").decode()


def dead_letter_kwargs(
    message_id: str, call: Call, record: dict[str, Any], *, attempt: int
) -> dict[str, Json]:
    """Return the arguments for the actor named by `on_dead_letter`."""
    return {
        "message_id": message_id,
        "actor": call.actor,
        "args": call.args,
        "kwargs": call.kwargs,
        "error": {"error": record["error"], "message": record["message"], "attempt": attempt},
    }
