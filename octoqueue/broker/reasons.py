"""Why a message failed, as text that can always be stored. Pure."""

from __future__ import annotations

MAX_MESSAGE_CHARACTERS = 4_096


def storable(text: str) -> str:
    """Return `text` without what UTF-8 cannot say: lone surrogates, as in odd file names."""
    return text.encode("utf-8", "backslashreplace").decode()


def message_of(error: BaseException) -> str:
    """Return the message of an error, shortened; an actor's own class may fail to give one."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - the code of whoever wrote the error
        text = f"<no message: its __str__ raised {type(broken).__name__}>"
    return storable(text[:MAX_MESSAGE_CHARACTERS])


def reason_of(error: BaseException) -> dict[str, str]:
    """Return class name and message of an error, for a dead letter."""
    return {"error": storable(type(error).__name__), "message": message_of(error)}
