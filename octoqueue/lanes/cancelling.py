"""The result of a cancelled message, as its tombstone holds it. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from octoqueue.errors import Cancelled

STANDS_FOR = timedelta(days=1)
"""How long a tombstone waits for somebody who comes across the message."""
RESULT_TTL = timedelta(minutes=10)
"""How long the result of a cancelled message is kept, unless its caller says otherwise."""


def cancelled_result(reason: str) -> bytes:
    """Return the result of a message that was cancelled."""
    return orjson.dumps({"error": Cancelled.__name__, "message": reason})


def reason_in(result: bytes) -> str:
    """Return the reason in a result made by `cancelled_result`."""
    record: dict[str, Any] = orjson.loads(result)
    return str(record["message"])
