"""`FleetAgent`: looks after the worker processes of all fleets on one machine.

Every few seconds its `Resizer` has the size of each elastic fleet decided. Workers connect to its
socket, and write their output into files:

    state directory: lock · agent.sock · roster.json · logs/ ──► FleetAgent ──► crews ──► processes

What it knows of its workers is in its directory and in the kernel, so an agent that was killed is
followed by one that adopts them. An agent that is asked to stop ends them.

The weakness: for as long as no agent is there, nobody starts a worker that has died.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.crew import Crew
from octoqueue.fleet.living import AdoptedProcess, birth_of, see_off
from octoqueue.fleet.machine import Machine, resident_bytes
from octoqueue.fleet.member import Care, Member
from octoqueue.fleet.plan import member_spec
from octoqueue.fleet.resizing import MachineBounds, Resizer
from octoqueue.fleet.restarts import RestartPolicy
from octoqueue.fleet.roster import Entry, Roster
from octoqueue.fleet.switchboard import Hello, Switchboard
from octoqueue.fleet.tails import Tails
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from octoqueue.fleet.lines import LineSink
    from octoqueue.fleet.plan import Fleet, Program
    from octoqueue.fleet.resizing import FindLeader, ReadPresences
    from octoqueue.fleet.sizing import Sizing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How an agent works."""

    every: timedelta
    """How often sizes are decided."""
    patience: timedelta
    """How long a process asked to stop may take before it is killed."""
    retirement: timedelta | None = None
    """How long one that is not needed may go on with what it runs before it is asked; None: not."""
    bounds: MachineBounds = field(default_factory=MachineBounds)
    max_worker_bytes: int | None = None
    """A worker above it is replaced; None: never."""


class FleetAgent:
    """Looks after the fleets of one machine; a `Service`, and one that can be interrupted."""

    def __init__(
        self,
        fleets: Sequence[Fleet],
        *,
        program: Program,
        directory: Path,
        sink: LineSink,
        options: AgentOptions,
        sizings: Mapping[str, Sizing] | None = None,
        presences: ReadPresences | None = None,
        leader: FindLeader | None = None,
        host: str = "",
        machine: Machine | None = None,
        policy: RestartPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            fleets: what to run.
            program: how this program is called again.
            directory: private to the agents of this installation; its lock is held.
            sink: takes what the processes say.
            options: how it works.
            sizings: by fleet, for those that are elastic.
            presences: reads what the live workers of a fleet say of themselves.
            leader: tells who else leads a fleet; None that this agent does.
            host: name of this machine, as its workers give it; "": there is only this one.
            machine: what there is room for; this one when None.
            policy: when a process that died is started again.
            clock: for tests.
        """
        self._clock = clock or SystemClock()
        self._options = options
        self._directory = directory
        self._program = program
        logs = directory / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tails = Tails(logs, sink=sink, clock=self._clock)
        self._roster = Roster(directory / "roster.json")
        self._switchboard = Switchboard(directory, self)
        self._failure: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._leavers: list[AdoptedProcess] = []
        self._policy = policy or RestartPolicy()
        care = Care(
            patience=options.patience,
            retirement=options.retirement,
            retire=self._switchboard.retire,
            policy=self._policy,
            on_change=self._note,
        )
        self._crews = {fleet.name: self._crew_of(fleet, care) for fleet in fleets}
        self.resizer = Resizer(
            self._crews,
            sizings or {},
            presences=presences,
            leader=leader,
            host=host,
            bounds=options.bounds,
            machine=machine,
            clock=self._clock,
        )

    @property
    def crews(self) -> Mapping[str, Crew]:
        """The members of each fleet, by its name."""
        return self._crews

    # ── as a supervisor ──────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Adopt who is there, start who is missing; `wait_until_ready` says when they work."""
        self._failure = asyncio.get_running_loop().create_future()
        await self._tails.start()
        left = self._roster.read()
        await self._switchboard.start()
        self._adopt(left)
        for crew in self._crews.values():
            crew.grow_to(crew.fleet.processes)
            if crew.fleet.elastic is None:  # a rolling restart that was cut off has left one more
                crew.shrink_to(crew.fleet.processes)
        self._note()
        self._task = asyncio.create_task(self._work())

    async def wait_until_ready(self) -> None:
        """Return when each process that was started has said that it is ready.

        Raises:
            ProcessGivenUp: one of them never will.
        """
        members = [member for crew in self._crews.values() for member in crew.staying]
        ready = asyncio.gather(*(member.settled() for member in members))
        failing = asyncio.ensure_future(self.wait_for_failure())
        try:
            await asyncio.wait((ready, failing), return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        finally:
            for waiting in (ready, failing):
                waiting.cancel()
            await asyncio.gather(ready, failing, return_exceptions=True)

    async def wait_for_failure(self) -> None:
        """Return after a `stop`.

        Raises:
            ProcessGivenUp: as soon as a process of a fleet that never worked is given up.
        """
        if self._failure is not None:
            await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """End all workers: they drain, and are killed when patience is over. Idempotent."""
        self.resizer.is_stopped = True
        await self._end_tasks()
        try:
            await asyncio.gather(
                *(crew.stop() for crew in self._crews.values()),
                *(self._see_off(process) for process in self._leavers),
            )
        finally:
            self.kill()
            await self._switchboard.stop()
            await self._tails.stop()
            self._write_down(())
            if self._failure is not None and not self._failure.done():
                self._failure.set_result(None)

    def hurry(self) -> None:
        """Ask those that are stopping to do so at once."""
        for crew in self._crews.values():
            crew.hurry()
        for process in self._leavers:
            process.ask_to_stop()

    def kill(self) -> None:
        """End all workers, now."""
        for crew in self._crews.values():
            crew.kill()
        for process in self._leavers:
            process.kill()

    # ── as a switchboard's desk ──────────────────────────────────────────────────────────────────

    def greet(self, hello: Hello) -> bool | None:
        """Return whether the worker is one of ours and may stay; None: it is to ask again."""
        member = self._named(hello)
        if member is not None and member.pid is None:
            return None  # its place is between two processes: whose it is will be known
        if member is None or member.pid != hello.pid:
            log.warning("worker_unknown", extra={"child": hello.name, "pid": hello.pid})
            return False
        if hello.is_leaving and not member.is_leaving:
            member.heard_leaving()  # the agent before us had no time to write it down
        elif hello.is_ready:
            self.heard_ready(hello)
        return True

    def heard_ready(self, hello: Hello) -> None:
        """Take note that a worker has become ready."""
        member = self._named(hello)
        if member is not None and member.pid == hello.pid:
            self._crews[hello.fleet].heard_ready(member)
            self._note()

    async def answer(self, question: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Answer an operator: `restart` of a `fleet`, or `status`."""
        if question.get("ask") == "restart":
            async for part in self._restart(str(question.get("fleet"))):
                yield part
        elif question.get("ask") == "status":
            yield {"fleets": [crew.status() for crew in self._crews.values()]}
        else:
            yield {"error": f"nothing is known of {question.get('ask')!r}"}

    async def _restart(self, fleet: str) -> AsyncIterator[dict[str, Any]]:
        crew = self._crews.get(fleet)
        if crew is None:
            yield {"error": f"no fleet {fleet!r} runs here; there are: {', '.join(self._crews)}"}
        elif crew.is_restarting or self.resizer.is_stopped:
            yield {"error": f"{fleet} is being restarted or stopped already"}
        else:
            try:
                async for told in crew.restart():
                    yield {"told": told}
            except ProcessGivenUp as error:
                yield {"error": str(error)}

    # ── work ────────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        while True:
            await self._clock.sleep(self._options.every.total_seconds())
            try:
                await self.resizer.resize()
                self._replace_the_fat()
            except Exception:  # whatever it was, the next look may go well
                log.exception("agent_failed")

    def _replace_the_fat(self) -> None:
        """Replace the workers that have too much memory, one at a time and fleet.

        Not one that was started only now: what begins too large would be replaced without end.
        """
        most = self._options.max_worker_bytes
        for crew in self._crews.values() if most is not None else ():
            grown_up = self._clock.monotonic() - self._policy.good_life.total_seconds()
            pids = {m.pid: m for m in crew.staying if m.pid and m.filled_at <= grown_up}
            fat = [pid for pid, size in resident_bytes(pids).items() if size > (most or 0)]
            if fat and not crew.is_restarting:
                log.warning("worker_too_large", extra={"child": pids[fat[0]].name})
                self._send(self._renew(crew, [pids[fat[0]]]))

    # ── adopting ─────────────────────────────────────────────────────────────────────────────────

    def _adopt(self, left: Sequence[Entry]) -> None:
        adopted: list[str] = []
        for entry in left:
            process = AdoptedProcess.claim(entry.pid, birth=entry.birth, clock=self._clock)
            if process is None:
                continue
            crew = self._crews.get(entry.fleet)
            member = None
            if crew is not None and not entry.is_leaving:
                member = crew.adopt(entry.name, process, is_ready=entry.is_ready)
            if crew is None or member is None:
                log.info("worker_not_wanted", extra={"child": entry.name, "pid": entry.pid})
                self._leavers.append(process)
                if not entry.is_leaving:  # else it would be asked twice, which means: at once
                    process.ask_to_stop()
                retirement = self._options.retirement if entry.is_leaving else None
                self._send(self._see_off(process, retirement=retirement))
                continue
            adopted.append(f"{entry.name}={entry.pid}")
            if member.digest != entry.digest:
                log.info("worker_outdated", extra={"child": entry.name})
                self._send(self._renew(crew, [member]))
        if adopted:
            log.info("workers_adopted", extra={"children": ",".join(adopted)})

    async def _see_off(
        self, process: AdoptedProcess, *, retirement: timedelta | None = None
    ) -> None:
        """Wait for the end of somebody that no fleet wants."""
        if process in self._leavers:
            await see_off(process, retirement=retirement, patience=self._options.patience)
        if process in self._leavers:
            self._leavers.remove(process)
            process.let_go()

    async def _renew(self, crew: Crew, members: Sequence[Member]) -> None:
        """Replace members once nothing else replaces some."""
        while crew.is_restarting:
            await self._clock.sleep(1)
        try:
            async for told in crew.restart(members):
                log.info("worker_replaced", extra={"told": told})
        except ProcessGivenUp as error:
            log.warning("fleet_not_renewed", extra={"fleet": crew.fleet.name, "reason": str(error)})

    # ── what is written down ─────────────────────────────────────────────────────────────────────

    def _note(self) -> None:
        """Write down who is there, for the agent that may follow."""
        entries = [
            Entry(
                name=member.name,
                fleet=crew.fleet.name,
                pid=member.pid,
                birth=birth_of(member.pid),
                digest=member.digest,
                is_ready=member.ready.is_set(),
                is_leaving=member.is_leaving,
            )
            for crew in self._crews.values()
            for member in crew.members
            if member.pid
        ]
        self._write_down(entries)

    def _write_down(self, entries: Sequence[Entry]) -> None:
        try:
            self._roster.write(entries)
        except OSError as error:
            log.warning("roster_not_written", extra={"reason": str(error)})

    def _named(self, hello: Hello) -> Member | None:
        crew = self._crews.get(hello.fleet)
        return crew.named(hello.name) if crew is not None else None

    def _crew_of(self, fleet: Fleet, care: Care) -> Crew:
        return Crew(
            fleet,
            spec_of=lambda number: member_spec(
                fleet, self._program, number, directory=self._directory
            ),
            tails=self._tails,
            care=care,
            on_failure=self._failed,
            clock=self._clock,
        )

    def _failed(self, error: ProcessGivenUp) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # it is told whoever waits; nobody need

    # ── errands ──────────────────────────────────────────────────────────────────────────────────

    def _send(self, errand: Any) -> None:  # noqa: ANN401 - any coroutine
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _end_tasks(self) -> None:
        tasks = [*self._errands, *([self._task] if self._task is not None else [])]
        self._task = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
