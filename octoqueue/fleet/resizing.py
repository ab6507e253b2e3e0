"""`Resizer`: brings the fleets of one machine to the sizes they should have.

    decider ──► damping ──► shares of the machine ──► crews

Where several machines share a fleet, the agent of one leads it: it has as many workers as are
wanted and not on the others, whose agents keep their least. The lead ends with its holder, and
another agent takes it.

The weakness: memory is bounded by counting workers at what they need on the average; one that grows
afterwards is only noticed at the next look.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from octoqueue.errors import OctoqueueError
from octoqueue.fleet.machine import Machine, resident_bytes, this_machine
from octoqueue.fleet.room import Room, room_for
from octoqueue.fleet.sharing import Want, shares
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from octoqueue.fleet.crew import Crew
    from octoqueue.fleet.plan import Fleet
    from octoqueue.fleet.sizing import Sizing, Wish
    from octoqueue.primitives.signals import Presence

    ReadPresences = Callable[[Fleet], Awaitable[Sequence[Presence]]]
    FindLeader = Callable[[str], Awaitable[str | None]]

log = logging.getLogger(__name__)

_RESIZES_KEPT = 1_000
_MEMORY_SHARE = 0.8
_PROCESSES_A_PROCESSOR = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineBounds:
    """What the workers of one machine may use together."""

    max_processes: int | None = None
    """Of all fleets; None: the least of each and two a processor."""
    max_memory_bytes: int | None = None
    """Of all workers; None: four fifths of the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """A fleet became larger or smaller."""

    at_ms: int
    fleet: str
    before: int
    after: int
    reason: str


class Resizer:
    """Asks, damps, shares and resizes."""

    def __init__(
        self,
        crews: Mapping[str, Crew],
        sizings: Mapping[str, Sizing],
        *,
        presences: ReadPresences | None = None,
        leader: FindLeader | None = None,
        host: str = "",
        bounds: MachineBounds | None = None,
        machine: Machine | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            crews: of all fleets.
            sizings: of those that are elastic.
            presences: reads what the live workers of a fleet say of themselves.
            leader: tells who else leads a fleet; None that this agent does.
            host: name of this machine, as its workers give it; "": there is only this one.
            bounds: of all workers here.
            machine: what there is; this one when None.
            clock: for tests.
        """
        self.resizes: deque[Resize] = deque(maxlen=_RESIZES_KEPT)
        """What has changed, oldest first."""
        self.is_stopped = False
        self._crews = crews
        self._sizings = {name: each for name, each in sizings.items() if name in crews}
        self._presences = presences
        self._leader = leader
        self._led_by: dict[str, str | None] = {}
        self._host = host
        self._bounds = bounds or MachineBounds()
        self._machine = machine or this_machine()
        self._clock = clock or SystemClock()
        self._is_tight = False
        self._unread: set[str] = set()
        """Fleets whose presences could not be read the last time."""
        self._others: dict[str, int] = {}
        """Workers of a fleet on other machines, as last read."""

    async def resize(self) -> None:
        """Bring each fleet to the size it should have now."""
        for name, crew in self._crews.items():
            if name not in self._sizings and not (crew.is_restarting or self.is_stopped):
                crew.grow_to(crew.fleet.least)  # one that was adopted may have left
        await asyncio.gather(*(sizing.look() for sizing in self._sizings.values()))
        for name in self._sizings:
            await self._find_leader(name)
        elsewhere = {name: await self._elsewhere(self._crews[name]) for name in self._sizings}
        now = self._clock.monotonic()
        before = {name: self._crews[name].size for name in self._sizings}
        wishes = {
            name: sizing.wish(
                current=before[name],
                elsewhere=elsewhere[name],
                now=now,
                led_by=self._led_by.get(name),
            )
            for name, sizing in self._sizings.items()
        }
        room = self._room()
        wants = [self._want(crew, wishes) for crew in self._crews.values()]
        granted = shares(wants, room=room.workers)
        self._tell_of_room(wishes, granted, room)
        for name, sizing in self._sizings.items():
            sizing.taken(
                current=before[name],
                granted=granted[name],
                elsewhere=elsewhere[name],
                now=now,
                led_by=self._led_by.get(name),
            )
            wish, crew = wishes[name], self._crews[name]
            is_bounded = granted[name] < wish.workers
            reason = f"{wish.reason}; {room.reason}" if is_bounded else wish.reason
            # A restart has one more for a while, and may take long: it only keeps from shrinking.
            may_change = granted[name] > crew.size if crew.is_restarting else True
            if may_change and not self.is_stopped:
                await self._bring(crew, granted[name], reason)

    async def _bring(self, crew: Crew, size: int, reason: str) -> None:
        before = crew.size
        if size == before:
            return
        drained: tuple[str, ...] = ()
        if size > before:
            crew.grow_to(size)
        else:
            drained = crew.shrink_to(size, await self._said_by(crew) or ())
        resize = Resize(
            at_ms=self._clock.now_ms(),
            fleet=crew.fleet.name,
            before=before,
            after=crew.size,
            reason=reason,
        )
        self.resizes.append(resize)
        extra: dict[str, Any] = {
            "fleet": resize.fleet,
            "before": before,
            "after": resize.after,
            "reason": reason,
        }
        log.info("fleet_resized", extra=extra | ({"drained": ",".join(drained)} if drained else {}))

    def _want(self, crew: Crew, wishes: Mapping[str, Wish]) -> Want:
        wish = wishes.get(crew.fleet.name)
        wanted = crew.size if wish is None else wish.workers
        return Want(fleet=crew.fleet.name, least=crew.fleet.least, wanted=wanted)

    def _room(self) -> Room:
        bounds, machine = self._bounds, self._machine
        members = [member for crew in self._crews.values() for member in crew.members]
        used = resident_bytes(member.pid for member in members if member.pid)
        least = sum(crew.fleet.least for crew in self._crews.values())
        return room_for(
            running=len(used),
            used_bytes=sum(used.values()),
            max_processes=bounds.max_processes
            or least + _PROCESSES_A_PROCESSOR * machine.processors,
            max_memory_bytes=bounds.max_memory_bytes or int(machine.memory_bytes * _MEMORY_SHARE),
        )

    def _tell_of_room(
        self, wishes: Mapping[str, Wish], granted: Mapping[str, int], room: Room
    ) -> None:
        short = [name for name, wish in wishes.items() if granted[name] < wish.workers]
        if short and not self._is_tight:
            log.warning(
                "machine_full",
                extra={"bound": room.reason, "room": room.workers, "short": ",".join(short)},
            )
        self._is_tight = bool(short)

    async def _said_by(self, crew: Crew) -> Sequence[Presence] | None:
        """Return what workers say of themselves; None, told once, when it cannot be read."""
        if self._presences is None:
            return ()
        name = crew.fleet.name
        try:
            found = await self._presences(crew.fleet)
        except OctoqueueError as error:
            if name not in self._unread:
                log.warning("presences_unread", extra={"fleet": name, "reason": str(error)})
            self._unread.add(name)
            return None
        self._unread.discard(name)
        return found

    async def _find_leader(self, name: str) -> None:
        """Find out who leads a fleet; as long as that cannot be read, who did."""
        if self._leader is None:
            return
        try:
            found = await self._leader(name)
        except OctoqueueError:
            return  # its size cannot be decided either, which is told
        before, self._led_by[name] = self._led_by.get(name, ""), found
        if found != before:
            event = "fleet_led_here" if found is None else "fleet_led_elsewhere"
            log.info(event, extra={"fleet": name} | ({} if found is None else {"leader": found}))

    async def _elsewhere(self, crew: Crew) -> int:
        """Return how many workers of the fleet other machines have, by the last that was read."""
        if not self._host:
            return 0
        name, said = crew.fleet.name, await self._said_by(crew)
        if said is not None:
            others = (each for each in said if each.host not in {"", self._host})
            self._others[name] = sum(each.fleet == name and each.is_ready for each in others)
        return self._others.get(name, 0)
