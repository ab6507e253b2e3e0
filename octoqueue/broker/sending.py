"""`Send`: an actor with options for one message, as `Actor.using` returns it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

from octoqueue.broker.admission import tenant_of, unique_key_of
from octoqueue.broker.expiring import require_time_left, with_moments
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.ids import id_from_text
from octoqueue.primitives.told_time import TOLD_MS
from octoqueue.workflows.states import Complexity

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.lane import Lane

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_MILLISECOND = timedelta(milliseconds=1)
_LONGEST = timedelta(days=366)
_clock = SENDING_CLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """What `using` may change for one message."""

    lane: Lane | None = None
    delay: timedelta = timedelta(0)
    message_id: str | None = None
    results: bool | None = None
    tenant: str | None = None
    unique: str | None = None
    expires: timedelta | datetime | None = None
    deadline: datetime | None = None
    max_retries: int | None = None
    time_limit: timedelta | None = None
    complexity: Complexity | str | None = None

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            InvalidMessage: a value is; names the field.
        """
        delay = cast("object", self.delay)
        if not isinstance(delay, timedelta):
            raise InvalidMessage("delay", f"{delay!r} is no timedelta")
        if delay < timedelta(0):
            raise InvalidMessage("delay", f"{delay} is negative")
        results = cast("object", self.results)
        if results is not None and not isinstance(results, bool):
            raise InvalidMessage("results", f"{results!r} is neither True nor False")
        if self.message_id is not None and id_from_text(self.message_id) is None:
            raise InvalidMessage("message_id", f"{self.message_id!r} is no UUID in canonical form")
        named = {"tenant": self.tenant, "unique": self.unique}
        tenant_of(named)
        unique_key_of(None, "", (), {}, named)
        now_ms = _now_ms()
        if isinstance(self.expires, (int, float)):  # a number means milliseconds in dramatiq only
            raise InvalidMessage(
                "expires", f"{self.expires!r} is neither a timedelta nor an aware datetime"
            )
        _require_count("max_retries", self.max_retries)
        _require_limit("time_limit", self.time_limit)
        if self.complexity is not None and self.complexity not in set(Complexity):
            known = ", ".join(Complexity)
            raise InvalidMessage("complexity", f"{self.complexity!r} is none of {known}")
        require_time_left("expires", self.expires, now_ms=now_ms)
        require_time_left("deadline", self.deadline, now_ms=now_ms)

    def message_options(self) -> dict[str, Any]:
        """Return what stands in the message; times begin now."""
        options: dict[str, Any] = {}
        if self.lane is not None:
            options["lane"] = self.lane.label
        if self.results is not None:
            options["results"] = self.results
        if self.tenant is not None:
            options["tenant"] = self.tenant
        if self.unique is not None:
            options["unique"] = self.unique
        if self.max_retries is not None:
            options["max_retries"] = self.max_retries
        if self.complexity is not None:
            options["complexity"] = str(self.complexity)
        if self.time_limit is not None:
            options["time_limit"] = self.time_limit // _MILLISECOND
        if self.expires is not None or self.deadline is not None:
            options["expires"], options["deadline"] = self.expires, self.deadline
            return with_moments(options, now_ms=_now_ms())
        return options


def _now_ms() -> int:
    told_ms = TOLD_MS.get()
    return _clock.now_ms() if told_ms is None else told_ms


def _require_count(field: str, value: object) -> None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return
    raise InvalidMessage(field, f"{value!r} is not 0 or more")


def _require_limit(field: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, timedelta):
        raise InvalidMessage(field, f"{value!r} is no timedelta, such as timedelta(seconds=30)")
    if not _MILLISECOND <= value <= _LONGEST:
        raise InvalidMessage(field, f"{value} is not 1 ms to {_LONGEST.days} days")


class Builds(Protocol[R_co]):
    """What sending needs of an actor."""

    @property
    def function(self) -> Callable[..., Any]:
        """What it calls."""
        ...

    @property
    def options(self) -> dict[str, Any]:
        """What it was declared with."""
        ...

    @property
    def lanes(self) -> LaneBroker:
        """Its broker."""
        ...

    def built(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any],
        *,
        message_id: str | None = None,
    ) -> MessageHandle[R_co]:
        """Build a message of options as they stand in it."""
        ...


class Send(Generic[P, R]):
    """An actor with options for one message; reusable."""

    __slots__ = ("_actor", "_options")

    def __init__(self, actor: Builds[R], options: SendOptions) -> None:
        self._actor = actor
        self._options = options

    @property
    def function(self) -> Callable[..., Any]:
        """The actor's function, which says what it returns."""
        return self._actor.function

    @property
    def options(self) -> dict[str, Any]:
        """What the actor was declared with."""
        return self._actor.options

    def message(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Build the message without enqueueing it, for `asend_many`; it remembers its delay."""
        built = self._built(*args, **kwargs)
        if self._options.delay:
            built.options["delay"] = self._options.delay // _MILLISECOND
        return built

    def _built(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        options = self._options
        return self._actor.built(
            args, kwargs, options.message_options(), message_id=options.message_id
        )

    def send(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue the message and return its handle; blocks until it is accepted."""
        message = self._built(*args, **kwargs)
        delay_ms = self._options.delay // _MILLISECOND
        return cast("MessageHandle[R]", self._actor.lanes.enqueue(message, delay=delay_ms or None))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue the message and return its handle."""
        message = self._built(*args, **kwargs)
        return await self._actor.lanes.aenqueue(message, delay=self._options.delay)
