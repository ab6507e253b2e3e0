"""`Supervisor`: child processes that live as long as it does, and come back when they die.

Each child runs in a session of its own, so that Ctrl-C in the terminal reaches the supervisor only,
which then ends its children in its own order: a signal, a deadline, and then by force, with
whatever they themselves have started.

The weakness: what a child starts in yet another session is out of reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.lifeline import ParentEnd
from octoqueue.fleet.pipes import OutputPipe
from octoqueue.fleet.restarts import Life, Record, RestartPolicy
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.fleet.lines import LineSink, Stream

log = logging.getLogger(__name__)

_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process to run."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    """All of it; this process's own when None."""
    descriptors: tuple[int, ...] = field(default=())
    """Files it inherits beside its standard streams."""


class SupervisedProcess:
    """One process and its successors."""

    def __init__(
        self, spec: ProcessSpec, *, sink: LineSink, policy: RestartPolicy, clock: Clock
    ) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        """Set while a process is there that has said so."""
        self._sink = sink
        self._policy = policy
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._doomed = False
        self._last_words = ""

    @property
    def pid(self) -> int | None:
        """The living process; None between two lives."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Keep the process alive until it is asked to stop.

        Raises:
            ProcessGivenUp: it is not worth another try.
        """
        record = Record()
        try:
            while not self._stopping.is_set():
                life = await self._live()
                if self._stopping.is_set():
                    return
                record = self._policy.entered(record, life)
                delay = self._policy.delay_after(life, record)
                if delay is None:
                    raise ProcessGivenUp(self.spec.name, life.end, last_words=self._last_words)
                log.warning(
                    "process_died",
                    extra={"child": self.spec.name, "end": life.end, "starts_again_in": delay},
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay.total_seconds()):
                        await self._stopping.wait()
        finally:
            self.kill()

    def ask_to_stop(self) -> None:
        """Send the signal to stop; sent again it means: at once."""
        self._stopping.set()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End the process and what it has started, now."""
        self._doomed = True
        self._stopping.set()
        if self._process is not None:
            _kill_group(self._process.pid)

    async def _live(self) -> Life:
        began = self._clock.monotonic()
        lifeline = ParentEnd()
        outputs = [
            OutputPipe(self.spec.name, stream=stream, sink=self._sink) for stream in _STREAMS
        ]
        greeting: asyncio.Task[None] | None = None
        try:
            process = await self._start(lifeline, outputs)
            greeting = asyncio.create_task(self._greet(lifeline))
            exit_code = await process.wait()
            was_ready = self.ready.is_set()
        finally:
            self._end()
            if greeting is not None:
                greeting.cancel()
                await asyncio.gather(greeting, return_exceptions=True)
            lifeline.close()
            for output in outputs:
                output.close()
            self._last_words = outputs[-1].last_line  # of standard error
        lasted = timedelta(seconds=self._clock.monotonic() - began)
        return Life(exit_code=exit_code, was_ready=was_ready, lasted=lasted)

    async def _start(
        self, lifeline: ParentEnd, outputs: Sequence[OutputPipe]
    ) -> asyncio.subprocess.Process:
        out, err = outputs
        try:
            process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=lifeline.child,
                stdout=out.child,
                stderr=err.child,
                env=self.spec.environment,
                pass_fds=self.spec.descriptors,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessGivenUp(self.spec.name, f"cannot be started: {error.strerror}") from error
        finally:
            lifeline.handed_over()
            for output in outputs:
                output.handed_over()
        self._process = process
        log.debug("process_started", extra={"child": self.spec.name, "pid": process.pid})
        if self._doomed:  # meanwhile
            self.kill()
        elif self._stopping.is_set():
            self.ask_to_stop()
        return process

    def _end(self) -> None:
        """End what is left of a life, first of all what the process itself has started."""
        self.ready.clear()
        process, self._process = self._process, None
        if process is not None:
            _kill_group(process.pid)

    async def _greet(self, lifeline: ParentEnd) -> None:
        if await lifeline.becomes_ready():
            self.ready.set()


class Supervisor:
    """Runs processes side by side; a `Service`."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        sink: LineSink,
        patience: timedelta,
        policy: RestartPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            specs: what to run.
            sink: takes what the processes say.
            patience: how long a process asked to stop may take.
            policy: when a process that died is started again.
            clock: for tests.
        """
        self.processes = tuple(
            SupervisedProcess(
                spec, sink=sink, policy=policy or RestartPolicy(), clock=clock or SystemClock()
            )
            for spec in specs
        )
        self._patience = patience
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all; `wait_until_ready` says when they work."""
        self._tasks = [asyncio.create_task(process.run()) for process in self.processes]

    async def wait_until_ready(self) -> None:
        """Return when each process has said that it is ready.

        Raises:
            ProcessGivenUp: one of them never will.
        """
        ready = asyncio.gather(*(process.ready.wait() for process in self.processes))
        failure = asyncio.ensure_future(self.wait_for_failure())
        try:
            await asyncio.wait((ready, failure), return_when=asyncio.FIRST_COMPLETED)
            if failure.done():
                failure.result()
        finally:
            for waiting in (ready, failure):
                waiting.cancel()
            await asyncio.gather(ready, failure, return_exceptions=True)

    async def wait_for_failure(self) -> None:
        """Return when no process is left, which takes a `stop`.

        Raises:
            ProcessGivenUp: as soon as a process is given up.
        """
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                if not task.cancelled():
                    task.result()

    async def stop(self) -> None:
        """Ask all to stop, wait, and kill what is left when patience is over. Idempotent."""
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        for process in self.processes:
            process.ask_to_stop()
        try:
            _, late = await asyncio.wait(tasks, timeout=self._patience.total_seconds())
            if late:
                names = [process.spec.name for process in self.processes if process.pid]
                log.warning("processes_killed", extra={"children": ",".join(names)})
        finally:
            self.kill()
            await asyncio.gather(*tasks, return_exceptions=True)

    def hurry(self) -> None:
        """Ask those that are stopping to do so at once."""
        for process in self.processes:
            process.ask_to_stop()

    def kill(self) -> None:
        """End all processes and what they have started, now."""
        for process in self.processes:
            process.kill()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
