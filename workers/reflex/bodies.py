"""The body of a request: bounded in size and in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

BODY_TIMEOUT: Final = timedelta(seconds=10)
"""How long a caller may take to send a body, once its head is here."""


async def body_of(scope: Scope, receive: Receive, *, limit_bytes: int) -> bytes:
    """Return the body, refusing one over the limit as soon as that is known.

    Raises:
        HTTPException: 413, or 408 when it has not come in time.
        ClientDisconnect: the caller left before it was whole.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT.total_seconds()):
            return await _read(scope, receive, limit_bytes)
    except TimeoutError:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT) from None


async def _read(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    received = b""
    is_whole = False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        received += message.get("body", b"")
        if len(received) > limit_bytes:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        is_whole = not message.get("more_body", False)
    return received
