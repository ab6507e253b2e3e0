"""`EmbeddedServices`: the private Redis and PostgreSQL of one instance.

The weakness: nobody is counted. Who started a server ends it on `stop`, also under those who
joined; they see their connections close.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Self

from octoqueue.embedded.postgres_server import PostgresServer
from octoqueue.embedded.redis_server import RedisServer
from octoqueue.embedded.shared_server import ServerStatus, SharedServer
from octoqueue.errors import EmbeddedError
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from octoqueue.primitives.clock import Clock

log = logging.getLogger(__name__)

START_TIMEOUT = timedelta(seconds=60)
STOP_TIMEOUT = timedelta(seconds=20)
_LOOK_AGAIN_SECONDS = 0.5
_TRY_AGAIN_SECONDS = 5.0


class EmbeddedServices:
    """Start, join and stop the servers of the instance in `state_dir`.

    As a context manager it stops on leaving what it started.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        on_change: Callable[[dict[str, int]], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            state_dir: of the instance.
            on_change: called with the pids of what was started or adopted here, by server, whenever
                they may have changed.
            clock: for tests.
        """
        self._clock = clock = clock or SystemClock()
        state_dir = state_dir.expanduser().resolve()
        self._redis = SharedServer(RedisServer(state_dir), state_dir=state_dir, clock=clock)
        self._postgres = SharedServer(PostgresServer(state_dir), state_dir=state_dir, clock=clock)
        self._named = {"redis": self._redis, "postgres": self._postgres}
        self._on_change = on_change

    async def start_redis(self, *, timeout: timedelta = START_TIMEOUT) -> str:
        """Return the url of the private Redis, started unless somebody's already runs. Idempotent.

        Raises:
            ServerNotFound: this machine has no Redis; the message says what to install.
            EmbeddedError: it did not come up in time; carries the end of its log.
        """
        url = await asyncio.to_thread(self._redis.start, timeout=timeout)
        await self._tell()
        return url

    async def start_postgres(self, *, timeout: timedelta = START_TIMEOUT) -> str:
        """Return the dsn of the private PostgreSQL, its database made. Idempotent.

        Raises:
            ServerNotFound: this machine has no PostgreSQL; the message says what to install.
            EmbeddedError: it did not come up in time; carries the end of its log.
        """
        dsn = await asyncio.to_thread(self._postgres.start, timeout=timeout)
        await self._tell()
        return dsn

    async def stop(self, *, timeout: timedelta = STOP_TIMEOUT) -> None:
        """Cleanly end what this object started and nothing else. Idempotent.

        A start under way gives up. A server that does not end within `timeout` is killed; its data
        is recovered at the next start.
        """
        await asyncio.gather(
            asyncio.to_thread(self._redis.stop, timeout=timeout),
            asyncio.to_thread(self._postgres.stop, timeout=timeout),
        )
        if self._on_change is not None:
            self._on_change({})

    async def shut_down(self, *, timeout: timedelta = STOP_TIMEOUT) -> dict[str, int]:
        """Cleanly end the servers of this instance, whoever started them; data stays.

        Returns:
            The pids of those that lived, by server.

        Raises:
            EmbeddedError: one did not end in time.
        """
        ended = await asyncio.gather(
            asyncio.to_thread(self._redis.shut_down, timeout=timeout),
            asyncio.to_thread(self._postgres.shut_down, timeout=timeout),
        )
        named = zip(("redis", "postgres"), ended, strict=True)
        return {name: pid for name, pid in named if pid is not None}

    async def keep_alive(self) -> NoReturn:
        """Bring back what was started or joined here whenever it has died, until cancelled."""
        await asyncio.gather(self._keep_alive(self._redis), self._keep_alive(self._postgres))
        raise AssertionError  # neither returns

    async def adopt(self, pids: Mapping[str, int]) -> None:
        """Own the servers that a process which has died had started as `pids`, by server.

        Those that do not run as these any more are nobody's to adopt.
        """
        for name, server in self._named.items():
            if name in pids and await asyncio.to_thread(server.adopt, pids[name]):
                log.info("embedded_server_adopted", extra={"server": name, "pid": pids[name]})

    async def status(self) -> tuple[ServerStatus, ...]:
        """Return what is known about each server now; starts nothing."""
        return tuple(
            await asyncio.gather(
                asyncio.to_thread(self._redis.status),
                asyncio.to_thread(self._postgres.status),
            )
        )

    async def _tell(self) -> None:
        if self._on_change is not None:
            found = await self.status()
            self._on_change({s.name: s.pid for s in found if s.pid and s.started_here})

    async def _keep_alive(self, server: SharedServer) -> NoReturn:
        while True:
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
            try:
                if await asyncio.to_thread(server.revive, timeout=START_TIMEOUT):
                    await self._tell()
            except EmbeddedError as error:
                log.warning("embedded_server_stays_away", extra={"reason": str(error)})
                await self._clock.sleep(_TRY_AGAIN_SECONDS)

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop what was started here."""
        await self.stop()
