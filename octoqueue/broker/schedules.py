"""`Schedules`: the periodic actors of a process, and their messages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from octoqueue.broker.context import SCHEDULED_FOR
from octoqueue.errors import DeclarationError
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.schedules import Fired, Firing, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dramatiq.message import Message

    from octoqueue.broker.enveloping import Enveloper
    from octoqueue.broker.middleware import EnqueueHooks
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """An actor with one of its schedules."""

    schedule: Schedule
    actor: str
    queue: str
    build: Callable[[], Message[Any]]
    """Makes the message of a tick, as the actor's `message` does."""

    def message(self, tick_ms: int) -> Message[Any]:
        """Return the message of a tick, with an id beside the schedule's other messages."""
        built = self.build()
        built.options[SCHEDULED_FOR] = tick_ms
        return replace(built, message_id=text_from_id(new_message_id(beside=self.schedule.place)))


class Schedules:
    """All schedules declared on one broker, by name."""

    def __init__(self, enveloper: Enveloper, hooks: Callable[[], EnqueueHooks]) -> None:
        self._enveloper = enveloper
        self._hooks = hooks
        self._by_name: dict[str, Periodic] = {}

    def declare(self, periodic: Periodic) -> None:
        """Add a schedule.

        Raises:
            DeclarationError: its name is taken.
        """
        name = periodic.schedule.name
        if name in self._by_name:
            raise DeclarationError(
                f"schedule {name!r} of actor {periodic.actor!r} is already declared: "
                "give each schedule a name of its own with name="
            )
        self._by_name[name] = periodic

    def __iter__(self) -> Iterator[Periodic]:
        """Yield all, by name."""
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_name)

    def find(self, name: str) -> Periodic | None:
        """Return one; None when this process does not declare it."""
        return self._by_name.get(name)

    async def fire(
        self, store: LaneStore, periodic: Periodic, *, after_ms: int, tick_ms: int
    ) -> Firing:
        """Fire a tick, unless somebody has or it is not due yet.

        Raises:
            EnqueueError: the message was not accepted; the tick is still to be fired.
            StoreUnavailable: whether it was fired is unknown; safe to try again.
        """
        message, hooks = periodic.message(tick_ms), self._hooks()
        hooks.before([message], 0)
        schedule = periodic.schedule
        tick = Tick(
            schedule=schedule.name,
            digest=schedule.ticks.digest,
            after_ms=after_ms,
            tick_ms=tick_ms,
        )
        firing = await store.fire(tick, self._enveloper.envelope(message, 0, schedule.place))
        if firing.outcome is Fired.FIRED:
            hooks.after([message], 0)
        return firing
