"""The outermost layer: every request is bounded, counted, and answered, whatever happens inside.

Pure ASGI: one layer for all three, because each layer costs every request.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from workers.reflex.refusals import INTERNAL, refusal_from

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from octoqueue.primitives.clock import Clock
    from workers.reflex.measuring import RequestMeter

log = logging.getLogger(__name__)

REQUEST_TIMEOUT: Final = timedelta(seconds=30)


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        meter: RequestMeter,
        clock: Clock,
        timeout: timedelta = REQUEST_TIMEOUT,
    ) -> None:
        self._app = app
        self._meter = meter
        self._clock = clock
        self._timeout_seconds = timeout.total_seconds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._clock.monotonic()
        answer = _Answer(send)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._app(scope, receive, answer.send)
        except Exception as exc:
            refusal = refusal_from(exc)
            if refusal is None:
                log.exception("request_failed", extra={"path": scope["path"]})
            if answer.status == 0:
                await (refusal or INTERNAL).response()(scope, receive, answer.send)
            elif not answer.is_whole:
                raise  # too late to say anything else: the server cuts the connection
        finally:
            self._meter.count(scope, answer.status, self._clock.monotonic() - began)


class _Answer:
    """Watches what is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0 until the answer has begun."""
        self.is_whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.is_whole = not message.get("more_body", False)
        await self._send(message)
