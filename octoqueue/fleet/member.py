"""`Member`: one place in a fleet, filled by a process and its successors until it is given up.

    starting ──ready──► ready ──retire, leave──► draining ──► gone
       ▲  ▲               │
       │  └── died ───────┘           dies again and again: degraded, tried again ever more rarely
       └── adopted: it had been started by an agent that has died

The weakness: how an adopted process ended nobody knows, so every such end counts as a death.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.living import StartedProcess
from octoqueue.fleet.restarts import Life, Record, RestartPolicy
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.fleet.living import LivingProcess
    from octoqueue.fleet.processes import ProcessSpec
    from octoqueue.fleet.tails import Output

log = logging.getLogger(__name__)

MemberState = Literal["starting", "ready", "draining", "failing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """How members are looked after."""

    patience: timedelta
    """How long a process asked to stop may take before it is killed."""
    retirement: timedelta | None = None
    """How long one that is not needed may go on with what it runs before it is asked; None: not."""
    retire: Callable[[int], bool] = lambda _: False
    """Asks a process to end once it runs nothing; returns whether it is there to hear it."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    was_healthy: Callable[[], bool] = lambda: False
    """Whether the fleet ever worked: then nothing is given up."""
    on_change: Callable[[], None] = lambda: None
    """Called whenever the process is another one, or none."""


class Member:
    """One place in a fleet."""

    def __init__(
        self, spec: ProcessSpec, *, output: Output, care: Care, clock: Clock | None = None
    ) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        """Set while a process is there that has said so."""
        self.is_leaving = False
        self.is_failing = False
        """It dies again and again, but is not given up."""
        self._output = output
        self._care = care
        self._clock = clock or SystemClock()
        self._process: LivingProcess | None = None
        self._stopping, self._asked = asyncio.Event(), asyncio.Event()
        self._is_doomed = False
        self.filled_at = self._clock.monotonic()
        """When its process was started, or adopted."""

    @property
    def name(self) -> str:
        """The name of its processes."""
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The living process; None between two lives."""
        return None if self._process is None else self._process.pid

    @property
    def digest(self) -> str:
        """The digest in its command line."""
        told = [word for word in self.spec.command if word.startswith("--digest=")]
        return told[-1].partition("=")[2] if told else ""

    @property
    def state(self) -> MemberState:
        """How it is."""
        if self.is_leaving:
            return "draining"
        if self.ready.is_set():
            return "ready"
        return "failing" if self.is_failing else "starting"

    async def settled(self) -> None:
        """Return when its process is ready, or is to end before it ever is."""
        waiting = [asyncio.create_task(event.wait()) for event in (self.ready, self._stopping)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def heard_ready(self) -> None:
        """Take note that its process works; what it has said until now is passed on first."""
        self._output.read()
        self.ready.set()
        if self.is_failing:
            self.is_failing = False
            log.info("fleet_recovered", extra={"child": self.name})

    async def run(self, adopted: LivingProcess | None = None) -> None:
        """Keep the place filled until `leave`.

        Raises:
            ProcessGivenUp: it is not worth another try, and the fleet never worked.
        """
        record = Record(was_ever_ready=adopted is not None)
        try:
            while not self._stopping.is_set() or adopted is not None:
                try:
                    life = await self._live(adopted)
                except ProcessGivenUp as error:  # the machine may be short of something for now
                    if not self._care.was_healthy():
                        raise
                    await self._wait_long(error.reason)
                    continue
                adopted = None
                if self._stopping.is_set():
                    return
                record = self._care.policy.entered(record, life)
                await self._rest(life, record)
        finally:
            self.kill()

    @property
    def was_asked(self) -> bool:
        """Whether it has been asked to drain within its drain time."""
        return self._asked.is_set()

    def retire(self) -> None:
        """Have the process finish what it runs, and end. Nobody follows it."""
        pid = self.pid
        if pid is None or self._care.retirement is None or not self._care.retire(pid):
            self.leave()
            return
        self.is_leaving = True
        self._stopping.set()
        self._care.on_change()

    def leave(self) -> None:
        """Ask the process to drain and end; asked again it means: at once. Nobody follows it."""
        self.is_leaving = True
        self._asked.set()
        self._stopping.set()
        if self._process is not None:
            self._process.ask_to_stop()
        self._care.on_change()

    def heard_leaving(self) -> None:
        """Take note that its process was asked to end before it was ours; nobody follows it."""
        self.is_leaving = True
        self._stopping.set()
        self._care.on_change()

    def kill(self) -> None:
        """End the process and what it has started, now."""
        self.is_leaving = self._is_doomed = True
        self._asked.set()
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    async def _rest(self, life: Life, record: Record) -> None:
        """Wait until the next life."""
        delay = self._care.policy.delay_after(life, record)
        if delay is None:
            if not self._care.was_healthy():
                raise ProcessGivenUp(self.name, life.end, last_words=self._output.err.last_line)
            await self._wait_long(life.end, last_words=self._output.err.last_line)
        else:
            await self._wait(delay, life.end)

    async def _wait_long(self, end: str, *, last_words: str = "") -> None:
        if not self.is_failing:
            self.is_failing = True
            extra = {"child": self.name, "end": end, "last_words": last_words}
            log.error("fleet_degraded", extra=extra)
        await self._wait(self._care.policy.longest_delay, end)

    async def _wait(self, delay: timedelta, end: str) -> None:
        log.warning(
            "process_died", extra={"child": self.name, "end": end, "starts_again_in": delay}
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay.total_seconds()):
                await self._stopping.wait()

    async def _live(self, adopted: LivingProcess | None) -> Life:
        began = self._clock.monotonic()
        process = adopted or await self._start()
        self._process, self.filled_at = process, began
        self._care.on_change()
        if self._is_doomed:  # meanwhile
            process.kill()
        elif self._stopping.is_set():
            process.ask_to_stop()
        try:
            exit_code = await self._end_of(process)
            was_ready = self.ready.is_set()
        finally:
            self.ready.clear()
            self._process = None
            process.kill()  # what it has started and left
            process.let_go()
            self._output.finish()
            self._care.on_change()
        lasted = timedelta(seconds=self._clock.monotonic() - began)
        return Life(exit_code=exit_code, was_ready=was_ready, lasted=lasted)

    async def _end_of(self, process: LivingProcess) -> int | None:
        ending = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((ending, stopping), return_when=asyncio.FIRST_COMPLETED)
            if self._care.retirement is not None:
                within = self._care.retirement.total_seconds()
                await asyncio.wait(
                    (ending, asked), timeout=within, return_when=asyncio.FIRST_COMPLETED
                )
                if not (ending.done() or asked.done()):
                    self.leave()  # it has had its time
            if not ending.done():
                await asyncio.wait((ending,), timeout=self._care.patience.total_seconds())
            if not ending.done():
                log.warning("process_killed", extra={"child": self.name, "pid": process.pid})
                process.kill()
            return await ending
        finally:
            for task in (ending, stopping, asked):
                task.cancel()
            await asyncio.gather(ending, stopping, asked, return_exceptions=True)

    async def _start(self) -> LivingProcess:
        try:
            self._output.begin()
            process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._output.out.child,
                stderr=self._output.err.child,
                env=self.spec.environment,
                pass_fds=self.spec.descriptors,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessGivenUp(self.name, f"cannot be started: {error.strerror}") from error
        log.debug("process_started", extra={"child": self.name, "pid": process.pid})
        return StartedProcess(process)
