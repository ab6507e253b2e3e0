"""`Crew`: the members of one fleet on this machine, as many as it is told to have.

The weakness: what a member runs is known from what it last said with its heartbeat, so the one that
is drained may have begun something meanwhile. It has `Care.retirement` to finish that; what takes
longer is handed back, to begin again from its last checkpoint elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.choosing import Candidate, idlest
from octoqueue.fleet.member import Care, Member
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from octoqueue.fleet.living import LivingProcess
    from octoqueue.fleet.plan import Fleet
    from octoqueue.fleet.processes import ProcessSpec
    from octoqueue.fleet.tails import Tails
    from octoqueue.primitives.signals import Presence

log = logging.getLogger(__name__)


class Crew:
    """Processes that are alike, and how many of them."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        spec_of: Callable[[int], ProcessSpec],
        tails: Tails,
        care: Care,
        on_failure: Callable[[ProcessGivenUp], None],
        clock: Clock | None = None,
    ) -> None:
        """Prepare; nobody is there yet.

        Args:
            fleet: what they are.
            spec_of: gives the process of a number, counted from 1.
            tails: takes what they say.
            care: how each is looked after.
            on_failure: called when one is given up: only before the fleet ever worked.
            clock: for tests.
        """
        self.fleet = fleet
        self.was_healthy = False
        """Whether a member was ever ready."""
        self.is_restarting = False
        self._is_stopped = False
        self._spec_of = spec_of
        self._tails = tails
        self._care = replace(care, was_healthy=lambda: self.was_healthy)
        self._on_failure = on_failure
        self._clock = clock or SystemClock()
        self._members: dict[int, Member] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    # ── who is there ─────────────────────────────────────────────────────────────────────────────

    @property
    def members(self) -> tuple[Member, ...]:
        """All who are there, by number; those that drain included."""
        return tuple(self._members[number] for number in sorted(self._members))

    @property
    def staying(self) -> tuple[Member, ...]:
        """Those that do not drain."""
        return tuple(member for member in self.members if not member.is_leaving)

    @property
    def size(self) -> int:
        """How many stay."""
        return len(self.staying)

    @property
    def is_degraded(self) -> bool:
        """Whether a member dies again and again."""
        return any(member.is_failing for member in self.staying)

    def named(self, name: str) -> Member | None:
        """Return who has the name."""
        return next((member for member in self.members if member.name == name), None)

    def status(self) -> dict[str, Any]:
        """Return who is there, for an operator."""
        members = [{"name": m.name, "pid": m.pid, "state": m.state} for m in self.members]
        return {"fleet": self.fleet.name, "members": members}

    # ── more and fewer ───────────────────────────────────────────────────────────────────────────

    def grow_to(self, size: int) -> None:
        """Start members until so many stay."""
        try:
            while self.size < size:
                self._add()
        except ProcessGivenUp as error:  # the machine may be short of something for now
            if not self.was_healthy:
                self._on_failure(error)
            log.warning("worker_not_started", extra={"reason": str(error)})

    def shrink_to(self, size: int, presences: Iterable[Presence] = ()) -> tuple[str, ...]:
        """Drain the idlest until only so many stay; return their names."""
        said = {presence.name: presence for presence in presences}
        names = idlest(
            (_candidate(member, said.get(member.name)) for member in self.staying),
            self.size - size,
        )
        for name in names:
            member = self.named(name)
            assert member is not None  # noqa: S101 - it was chosen from them
            member.retire()
        return names

    def adopt(self, name: str, process: LivingProcess, *, is_ready: bool) -> Member | None:
        """Take over a process that has a name of this fleet; None when the place is taken."""
        number = self.fleet.number_of(name)
        if number is None or number in self._members:
            return None
        member = self._add(number, process)
        self.was_healthy = True  # by its last agent's account
        if is_ready:
            member.ready.set()
        return member

    def heard_ready(self, member: Member) -> None:
        """Take note that a member works."""
        self.was_healthy = True
        member.heard_ready()

    async def restart(self, members: Sequence[Member] | None = None) -> AsyncGenerator[str]:
        """Replace members one by one; each new one is ready before the old one drains.

        Args:
            members: whom; all that stay when None.

        Yields:
            What happened, in words.

        Raises:
            ProcessGivenUp: a new one does not get ready; the others stay as they are.
        """
        self.is_restarting = True
        try:
            for old in members or self.staying:
                if old.is_leaving or self._is_stopped:
                    continue
                fresh = self._add()
                if not await self._gets_ready(fresh):
                    fresh.leave()
                    reason = "did not get ready; the others stay as they are"
                    raise ProcessGivenUp(fresh.name, reason)
                old.retire()  # first: whoever listens may go
                yield f"{fresh.name} is ready, {old.name} drains"
                await self._gone(old)
                yield f"{old.name} has ended"
        finally:
            self.is_restarting = False

    async def stop(self) -> None:
        """Ask all to leave and wait until they have."""
        self._is_stopped = True
        for member in self.members:
            if not member.was_asked:  # those that drain already are not to hurry
                member.leave()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def hurry(self) -> None:
        """Ask those that are leaving to do so at once."""
        for member in self.members:
            member.leave()

    def kill(self) -> None:
        """End all, now."""
        for member in self.members:
            member.kill()

    # ── places ───────────────────────────────────────────────────────────────────────────────────

    def _add(self, number: int | None = None, adopted: LivingProcess | None = None) -> Member:
        if number is None:
            number = next(n for n in range(1, len(self._members) + 2) if n not in self._members)
        spec = self._spec_of(number)
        try:
            output = self._tails.of(spec.name)
        except OSError as error:
            raise ProcessGivenUp(spec.name, f"cannot be started: {error.strerror}") from error
        member = Member(spec, output=output, care=self._care, clock=self._clock)
        self._members[number] = member
        self._tasks[number] = asyncio.create_task(self._look_after(number, member, adopted))
        return member

    async def _look_after(self, number: int, member: Member, adopted: LivingProcess | None) -> None:
        try:
            await member.run(adopted)
        except ProcessGivenUp as error:
            self._on_failure(error)
        finally:
            del self._members[number], self._tasks[number]
            self._care.on_change()

    async def _gets_ready(self, member: Member) -> bool:
        """Return whether a member gets ready in time, and before it has died too often."""
        latest = self._clock.monotonic() + self._care.policy.beginning.total_seconds()
        getting = asyncio.create_task(member.ready.wait())
        task = self._task_of(member)
        try:
            while not (getting.done() or member.is_failing or task is None or task.done()):
                if self._clock.monotonic() >= latest:
                    break
                await asyncio.wait((getting, task), timeout=_LOOK_AGAIN_SECONDS)
            return getting.done()
        finally:
            getting.cancel()
            await asyncio.gather(getting, return_exceptions=True)

    async def _gone(self, member: Member) -> None:
        task = self._task_of(member)
        if task is not None:
            await asyncio.wait((task,))

    def _task_of(self, member: Member) -> asyncio.Task[None] | None:
        for number, each in self._members.items():
            if each is member:
                return self._tasks[number]
        return None


_LOOK_AGAIN_SECONDS = 0.2


def _candidate(member: Member, said: Presence | None) -> Candidate:
    if said is not None and said.pid not in {0, member.pid}:
        said = None  # its predecessor said that
    return Candidate(
        name=member.name,
        is_ready=member.ready.is_set(),
        running=None if said is None else said.running,
        at_risk_seconds=0.0 if said is None else said.at_risk_seconds,
        at_risk_cost=0.0 if said is None else said.at_risk_cost,
        since=member.filled_at,
    )
