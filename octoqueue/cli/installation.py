"""`Installation`: everything that `octoqueue up` runs on one machine, and the order of it.

Up: the port, the private servers where no URL is configured, the schema, the processes. What dies
is started again, be it a process or a private server. Down, in reverse: the application takes no
more tasks in, the workers finish what they run, the servers that were started here end.

Who was killed leaves its workers and servers behind, and the next one in the same state directory
takes them over. Of two that run at the same time one waits until the other has ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from octoqueue.broker.claim_checks import objects_beside
from octoqueue.cli.agent_place import ServerNote, made_agent_directory, state_dir_of
from octoqueue.cli.fleet_deciding import deciding, this_host
from octoqueue.cli.listening import listen, status_of
from octoqueue.cli.supervision import Supervision, patience_with, this_program
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import ConfigError, EmbeddedError, PortTaken
from octoqueue.fleet.agent import AgentOptions, FleetAgent
from octoqueue.fleet.leadership import Leadership
from octoqueue.fleet.lines import LineSink
from octoqueue.fleet.plan import Fleet, Program, http_spec, needs_postgres
from octoqueue.fleet.processes import Supervisor
from octoqueue.fleet.resizing import MachineBounds
from octoqueue.fleet.roster import Roster
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.service import ServiceGroup
from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

HEALTH: Final = "/health"

_ASK_AGAIN_SECONDS: Final = 0.1
_COMPLAIN_AFTER_SECONDS: Final = 10
_BROKEN: Final = 500
_LAST_ANSWERS: Final = timedelta(seconds=15)
_PREDECESSOR_SECONDS: Final = 15
"""How long the application of one that was killed may need to let go of the port."""


class Installation:
    """The processes and private servers of one configuration; a context that stops them."""

    def __init__(
        self,
        settings: Settings,
        fleets: Sequence[Fleet],
        *,
        sink: LineSink,
        config: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            settings: what is configured.
            fleets: the workers to run.
            sink: takes what the processes say.
            config: the file that the processes are to read.
            clock: for tests.
        """
        self.settings = settings
        self.supervisors: list[Supervision] = []
        self.agent: FleetAgent | None = None
        """Who looks after the fleets, once it is started."""
        self.listening: socket.socket | None = None
        """Where the HTTP application answers, when there is one."""
        self.redis_url: str | None = None
        self._place: Path | None = None
        self._fleets = tuple(fleets)
        self._sink = sink
        self._config = config
        self._clock = clock or SystemClock()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start nothing yet: `start` can be interrupted, and what it started is stopped."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything that is not stopped."""
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when it works.

        Raises:
            PortTaken: another program listens on the port.
            EmbeddedError: a private server cannot be started, or the agent's directory be used.
            StoreError: the database that is configured cannot be migrated.
            ProcessGivenUp: a process cannot do its work.
        """
        directory = self._directory()
        leadership = Leadership(directory / "lock", clock=self._clock)
        self._stack.callback(leadership.give_up)
        with _usable(directory):
            await leadership.take(pid=os.getpid())
        was_killed = bool(Roster(directory / "roster.json").read())
        if self.settings.http.app is not None:
            self.listening = await self._listen(is_patient=was_killed)
        program = this_program(self._config, **await self._servers())
        if self._fleets:
            with _usable(directory):
                await self._look_after_fleets(program, directory)
        if self.listening is not None:
            spec = http_spec(program, descriptor=self.listening.fileno())
            await self._supervise(Supervisor([spec], sink=self._sink, patience=_LAST_ANSWERS))
        await all_of([supervisor.wait_until_ready() for supervisor in self.supervisors])
        if self.listening is not None:
            await self.unless_it_fails(self._wait_for_health(self.listening))

    async def stop(self) -> None:
        """Stop everything, in the reverse order of the start. Idempotent."""
        await self._stack.aclose()

    async def wait_for_failure(self) -> None:
        """Return only by raising.

        Raises:
            ProcessGivenUp: as soon as a process cannot do its work any more.
        """
        await all_of([supervisor.wait_for_failure() for supervisor in self.supervisors])

    async def unless_it_fails(self, work: Coroutine[Any, Any, None]) -> None:
        """Await `work`; raises what it raises, and as `wait_for_failure` does."""
        working = asyncio.create_task(work)
        failing = asyncio.create_task(self.wait_for_failure())
        try:
            done, _ = await asyncio.wait((working, failing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (working, failing):
                task.cancel()
            await asyncio.gather(working, failing, return_exceptions=True)

    def _directory(self) -> Path:
        """Return where the agent keeps what outlives it; where it cannot, what does not.

        Raises:
            EmbeddedError: it cannot be made, and the private servers would need it as well.
        """
        if self._place is None:
            try:
                self._place = made_agent_directory(self.settings)
            except (ConfigError, EmbeddedError) as error:
                if self.settings.redis.url is None:
                    raise
                log.warning("agent_leaves_nothing_behind", extra={"reason": str(error)})
                lent = tempfile.TemporaryDirectory(prefix="octoqueue-agent-")
                self._place = Path(self._stack.enter_context(lent))
        return self._place

    async def _listen(self, *, is_patient: bool) -> socket.socket:
        http, began = self.settings.http, self._clock.monotonic()
        while True:
            try:
                return self._stack.enter_context(listen(http.host, http.port))
            except PortTaken:
                waited = self._clock.monotonic() - began
                if not is_patient or waited > _PREDECESSOR_SECONDS:
                    raise
                await self._clock.sleep(_ASK_AGAIN_SECONDS)

    async def _look_after_fleets(self, program: Program, directory: Path) -> None:
        """Start the agent, and what it decides by where a fleet is elastic."""
        settings, agent = self.settings, self.settings.agent
        sizings, presences, leader = None, None, None
        # With a private Redis there is only this machine.
        host = this_host() if settings.redis.url is not None else ""
        if any(fleet.elastic for fleet in self._fleets):
            redis = settings.redis.model_copy(update={"url": self.redis_url})
            found = await self._stack.enter_async_context(
                deciding(settings.model_copy(update={"redis": redis}), self._fleets)
            )
            sizings, presences = found.sizings, found.presences
            if host:
                name = f"{host}:{directory}"  # the same for the agent that follows this one
                leader = partial(found.leader, agent=name)
                self._stack.push_async_callback(found.give_up, agent=name)
        self.agent = FleetAgent(
            self._fleets,
            program=program,
            directory=directory,
            sink=self._sink,
            options=AgentOptions(
                every=agent.every,
                patience=patience_with(settings),
                retirement=settings.runtime.time_limit,
                bounds=MachineBounds(
                    max_processes=agent.max_processes, max_memory_bytes=agent.max_memory
                ),
                max_worker_bytes=agent.max_worker_memory,
            ),
            sizings=sizings,
            presences=presences,
            leader=leader,
            host=host,
            clock=self._clock,
        )
        await self._supervise(self.agent)

    async def _servers(self) -> dict[str, str]:
        """Start what has no URL; return the addresses of what was started, as variables."""
        redis_url, postgres_url = self.settings.redis.url, self.settings.postgres.url
        wants_postgres = needs_postgres(self.settings, self._fleets)
        note = ServerNote(self._directory())
        services = EmbeddedServices(state_dir_of(self.settings), on_change=note.write)
        self._stack.push_async_callback(services.stop)
        await services.adopt(note.read())
        started: dict[str, str] = {}

        async def redis() -> None:
            started["OCTOQUEUE_REDIS_URL"] = await services.start_redis()

        async def postgres() -> None:
            started["OCTOQUEUE_POSTGRES_URL"] = await services.start_postgres()

        await all_of(
            [
                *([redis()] if redis_url is None else []),
                *([postgres()] if wants_postgres and postgres_url is None else []),
            ]
        )
        if redis_url is None and self.settings.storage.url is None:
            # To the workers its address is one like any other: they must be told what is beside it.
            started["OCTOQUEUE_STORAGE__URL"] = objects_beside(state_dir_of(self.settings))
        if started:
            await self._stack.enter_async_context(_meanwhile(services.keep_alive()))
        for status in await services.status() if started else ():
            if status.pid is not None and not status.started_here:
                # It ran before us, and will run after us.
                log.info("embedded_server_joined", extra={"server": status.name, "pid": status.pid})
        self.redis_url = redis_url or started["OCTOQUEUE_REDIS_URL"]
        if wants_postgres:
            await self._migrate(postgres_url or started["OCTOQUEUE_POSTGRES_URL"])
        return started

    async def _migrate(self, dsn: str) -> None:
        async with PostgresPool(dsn, application_name="octoqueue up", max_size=1) as pool:
            applied = await Migrator(pool).migrate()
        if applied:
            log.info("schema_migrated", extra={"migrations": len(applied)})

    async def _supervise(self, supervisor: Supervision) -> None:
        self.supervisors.append(supervisor)
        await self._stack.enter_async_context(ServiceGroup([supervisor]))

    async def _wait_for_health(self, listening: socket.socket) -> None:
        """Return when the application says that it is well, or has no word for it."""
        began, complained = self._clock.monotonic(), False
        while True:
            status = await status_of(listening, HEALTH)
            if status is not None and status < _BROKEN:
                return
            if not complained and self._clock.monotonic() - began > _COMPLAIN_AFTER_SECONDS:
                complained = True
                log.warning("not_healthy_yet", extra={"path": HEALTH, "status": status})
            await self._clock.sleep(_ASK_AGAIN_SECONDS)


@contextmanager
def _usable(directory: Path) -> Generator[None]:
    """Say which directory it is about when a file in it cannot be made: a full disk, say."""
    try:
        yield
    except OSError as error:
        raise EmbeddedError(f"{directory} cannot be used: {error.strerror}") from error


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Have `work` done for the time of the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def all_of(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Await all; when one raises, cancel the others and raise that."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
