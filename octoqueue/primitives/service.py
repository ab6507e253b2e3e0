"""`Service`: something that runs beside the work, and `ServiceGroup`, which runs several.

A service is started once, says when it has started, and is stopped once; stopping twice is the
same as stopping once. A group starts in order and stops in reverse order.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


class Service(Protocol):
    """A named piece of upkeep with one verb."""

    async def start(self) -> None:
        """Begin; return when it is running."""
        ...

    async def stop(self) -> None:
        """End; return when nothing of it runs any more. Idempotent."""
        ...


class ServiceGroup:
    """Services that live and die together."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = tuple(services)
        self._started = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all; when one fails, stop those already started and raise."""
        async with AsyncExitStack() as started:
            for service in self._services:
                await service.start()
                started.push_async_callback(service.stop)
            self._started = started.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all in reverse order; one that fails to stop does not keep the others running."""
        await self._started.aclose()
