"""`@octoqueue.actor`: dramatiq's actor with checked options, `asend` and `using`.

The signature of the function is kept: `plan.send(...)`, `await plan.asend(...)` and a direct call
`plan(...)` all take what the function takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

import dramatiq
from dramatiq.errors import Retry as DramatiqRetry

from octoqueue.broker.context import current_message
from octoqueue.broker.default import default_broker
from octoqueue.broker.handles import MessageHandle
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.options import checked
from octoqueue.errors import DeclarationError, Discard, InvalidMessage, Retry
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import id_from_text, new_message_id, text_from_id
from octoqueue.primitives.lane import Lane, lane_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dramatiq.broker import Broker

P = ParamSpec("P")
R = TypeVar("R")

_MILLISECOND = timedelta(milliseconds=1)
_clock = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """What `using` may change for one message."""

    lane: Lane | None = None
    delay: timedelta = timedelta(0)
    message_id: str | None = None
    results: bool | None = None


class Actor(dramatiq.Actor[P, R]):
    """A registered function."""

    def __init__(
        self,
        fn: Callable[P, Any],
        *,
        broker: Broker,
        actor_name: str,
        queue_name: str,
        priority: int,
        options: dict[str, Any],
    ) -> None:
        self.function = fn
        super().__init__(
            fn,
            broker=broker,
            actor_name=actor_name,
            queue_name=queue_name,
            priority=priority,
            options=options,
        )

    @property
    def lanes(self) -> LaneBroker:
        """Its broker.

        Raises:
            DeclarationError: the actor was declared on a broker of another kind.
        """
        if not isinstance(self.broker, LaneBroker):
            raise DeclarationError(f"actor {self.actor_name!r} is not declared on a LaneBroker")
        return self.broker

    def send(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue a message and return its handle; blocks until it is accepted.

        Raises:
            EnqueueError: it was not accepted; nothing was stored.
            StoreUnavailable: whether it was accepted is unknown.
        """
        return Send(self, SendOptions()).send(*args, **kwargs)

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue a message and return its handle; raises like `send`."""
        return await Send(self, SendOptions()).asend(*args, **kwargs)

    def using(
        self,
        *,
        lane: Lane | str | None = None,
        delay: timedelta = timedelta(0),
        message_id: str | None = None,
        results: bool | None = None,
    ) -> Send[P, R]:
        """Return this actor with other options for one message.

        Args:
            lane: `high`, `normal` or `low` instead of the actor's lane.
            delay: how long the message waits before it may run.
            message_id: an id of your own, a UUID, instead of a new one.
            results: keep the result although the actor does not, or the other way round.

        Raises:
            InvalidMessage: a value is impossible; names the field.
        """
        if delay < timedelta(0):
            raise InvalidMessage("delay", f"{delay} is negative")
        if message_id is not None and id_from_text(message_id) is None:
            raise InvalidMessage("message_id", f"{message_id!r} is no UUID in canonical form")
        chosen = None if lane is None else lane_from(lane)
        return Send(
            self, SendOptions(lane=chosen, delay=delay, message_id=message_id, results=results)
        )

    def message(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Build a message without enqueueing it: for `send_many`, groups and pipelines."""
        return self.message_with_options(args=args, kwargs=kwargs)

    def message_with_options(
        self, *, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, **options: Any
    ) -> MessageHandle[R]:
        """Build a message with dramatiq's message options."""
        if options:  # dramatiq turns actors given as callbacks into their names
            build: Any = getattr(super(), "message_with_options")  # noqa: B009 - untyped
            options = build(**options).options
        running = current_message()
        beside = None if running is None else running.header.message_id
        built: MessageHandle[R] = MessageHandle(
            queue_name=self.queue_name,
            actor_name=self.actor_name,
            args=args,
            kwargs=kwargs or {},
            options=options,
            message_id=text_from_id(new_message_id(beside=beside)),
            message_timestamp=_clock.now_ms(),
        )
        return built.made_for(self.broker)

    @property
    def blocking(self) -> WorkerThreadActor:
        """This actor as the threads of dramatiq's own worker call it."""
        return WorkerThreadActor(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now, as if it were no actor."""
        return cast("R", self.function(*args, **kwargs))


class AsyncActor(Actor[P, R]):
    """A registered coroutine function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """Call the coroutine function here and now, as if it were no actor."""
        return cast("Awaitable[R]", self.function(*args, **kwargs))


class WorkerThreadActor:
    """An actor in a thread of dramatiq's worker; all but the call is the actor's own."""

    def __init__(self, actor: Actor[..., Any]) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, a coroutine on dramatiq's event loop, with our wishes as dramatiq's.

        Raises:
            DramatiqRetry: the actor asked to be run again.
        """
        try:
            return self._actor.fn(*args, **kwargs)
        except Discard:
            return None
        except Retry as wish:
            delay_ms = None if wish.delay is None else wish.delay // _MILLISECOND
            raise DramatiqRetry(str(wish), delay=delay_ms) from wish


class Send(Generic[P, R]):
    """An actor with options for one message; reusable."""

    __slots__ = ("_actor", "_options")

    def __init__(self, actor: Actor[P, R], options: SendOptions) -> None:
        self._actor = actor
        self._options = options

    def message(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Build the message without enqueueing it, for `asend_many`; it remembers its delay."""
        built = self._built(*args, **kwargs)
        if self._options.delay:
            built.options["delay"] = self._options.delay // _MILLISECOND
        return built

    def _built(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        built = self._actor.message_with_options(args=args, kwargs=kwargs)
        options = self._options
        if options.message_id is not None:
            built = replace(built, message_id=options.message_id)
        if options.lane is not None:
            built.options["lane"] = options.lane.label
        if options.results is not None:
            built.options["results"] = options.results
        return built

    def send(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue the message and return its handle; blocks until it is accepted."""
        message = self._built(*args, **kwargs)
        delay_ms = self._options.delay // _MILLISECOND
        return cast("MessageHandle[R]", self._actor.lanes.enqueue(message, delay=delay_ms or None))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue the message and return its handle."""
        message = self._built(*args, **kwargs)
        return await self._actor.lanes.aenqueue(message, delay=self._options.delay)


if TYPE_CHECKING:
    from typing import Protocol

    class _Decorator(Protocol):
        @overload
        def __call__(self, fn: Callable[P, Awaitable[R]], /) -> AsyncActor[P, R]: ...
        @overload
        def __call__(self, fn: Callable[P, R], /) -> Actor[P, R]: ...


@overload
def actor(fn: Callable[P, Awaitable[R]], /) -> AsyncActor[P, R]: ...
@overload
def actor(fn: Callable[P, R], /) -> Actor[P, R]: ...
@overload
def actor(
    *,
    queue: str = ...,
    name: str | None = ...,
    lane: Lane | str = ...,
    max_retries: int | None = ...,
    min_backoff: timedelta = ...,
    max_backoff: timedelta = ...,
    time_limit: timedelta = ...,
    max_age: timedelta = ...,
    throws: type[BaseException] | tuple[type[BaseException], ...] = ...,
    retry_when: Callable[[int, BaseException], bool] = ...,
    results: bool = ...,
    result_ttl: timedelta = ...,
    on_dead_letter: str = ...,
    broker: LaneBroker | None = ...,
    **options: Any,
) -> _Decorator: ...


def actor(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    queue: str = "default",
    name: str | None = None,
    broker: LaneBroker | None = None,
    **options: Any,
) -> Any:
    """Register a function, sync or async, as an actor.

    Args:
        fn: the function, when the decorator is used without parentheses.
        queue: the queue its messages wait in; letters, digits, dots, dashes, underscores.
        name: its name; the function's own by default. It must be unique in the process.
        broker: the broker to declare it on; the process-wide one by default.
        options: `lane`, `max_retries`, `min_backoff`, `max_backoff`, `time_limit`, `max_age`,
            `throws`, `retry_when`, `results`, `result_ttl`, `on_dead_letter`, and whatever the
            broker's middleware owns.

    Raises:
        UnknownOption: an option nobody owns; names the nearest known one.
        DeclarationError: an impossible value, or a name that is taken.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        target = broker or default_broker()
        actor_name = name or function.__name__
        owner = f"actor {actor_name!r}"
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise DeclarationError(f"{owner} is a generator function: calling it would run nothing")
        declared = checked(options, known=target.actor_options, owner=owner)
        kind: Callable[..., Any] = AsyncActor if iscoroutinefunction(function) else Actor
        try:
            register: Callable[..., Any] = dramatiq.actor
            return register(
                function,
                actor_class=kind,
                actor_name=actor_name,
                queue_name=queue,
                broker=target,
                **declared,
            )
        except ValueError as error:
            raise DeclarationError(f"{owner}: {error}") from None

    return decorate if fn is None else decorate(fn)
