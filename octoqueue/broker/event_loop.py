"""dramatiq's event loop for async actors in its own worker, in a thread nobody has to wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.middleware import AsyncIO

if TYPE_CHECKING:
    from dramatiq import Worker
    from dramatiq.broker import Broker

_START_SECONDS = 1.0


class BackgroundAsyncIO(AsyncIO):
    """`AsyncIO` of the default stack.

    dramatiq's thread keeps a process from ending that was told twice to stop; ours is a daemon.
    """

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq names them
        """Start the loop."""
        make: Any = EventLoopThread
        thread = make(self.logger)
        thread.daemon = True
        thread.start(timeout=_START_SECONDS)
        install: Any = set_event_loop_thread
        install(thread)
