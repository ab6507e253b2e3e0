"""`@octoqueue.actor`: dramatiq's actor with checked options, `asend` and `using`.

The signature of the function is kept: `plan.send(...)`, `await plan.asend(...)` and a direct call
`plan(...)` all take what the function takes.
"""

from __future__ import annotations

from datetime import timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

import dramatiq

from octoqueue.broker.admission import (
    admission_from,
    affinity_from,
    tenant_of,
    unique_key_of,
)
from octoqueue.broker.batch_option import (
    Batch,
    check_batch_function,
)
from octoqueue.broker.blocking import WorkerThreadActor, WorkerThreadBatchActor
from octoqueue.broker.context import current_message
from octoqueue.broker.default import default_broker
from octoqueue.broker.expiring import MOMENTS, with_moments
from octoqueue.broker.handles import new_handle
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.options import checked
from octoqueue.broker.sending import Send, SendOptions
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.errors import DeclarationError
from octoqueue.primitives.ids import new_id_and_text
from octoqueue.primitives.lane import Lane, lane_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from dramatiq.broker import Broker

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.broker.limiting import LimitedUse, RateLimit
    from octoqueue.broker.unique import Unique
    from octoqueue.primitives.ids import MessageId
    from octoqueue.workflows.states import Complexity

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_MILLISECOND = timedelta(milliseconds=1)
_clock = SENDING_CLOCK


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
        self.admission = admission_from(actor_name, fn, options)
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
        message = self.built(args, kwargs, {})
        return cast("MessageHandle[R]", self.lanes.enqueue(message))

    async def asend(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Enqueue a message and return its handle; raises like `send`."""
        return await self.lanes.aenqueue(self.built(args, kwargs, {}))

    def using(
        self,
        *,
        lane: Lane | str | None = None,
        delay: timedelta | None = None,
        message_id: str | None = None,
        results: bool | None = None,
        tenant: str | None = None,
        unique: str | None = None,
        expires: timedelta | datetime | None = None,
        deadline: datetime | None = None,
        max_retries: int | None = None,
        time_limit: timedelta | None = None,
        complexity: Complexity | str | None = None,
    ) -> Send[P, R]:
        """Return this actor with other options for one message.

        Args:
            lane: `high`, `normal` or `low` instead of the actor's lane.
            delay: how long the message waits before it may run.
            message_id: an id of your own, a UUID, instead of a new one.
            results: keep the result although the actor does not, or the other way round.
            tenant: on whose behalf; tenants share a lane by their weights.
            unique: the message's unique key, instead of the one the actor declares; until it is
                done when the actor declares none.
            expires: not started by then, or within that time from now, it is not run any more.
            deadline: still running then, it is stopped and not tried again.
            max_retries: how often it is tried again, instead of what the actor says.
            time_limit: how long one attempt may run, instead of what the actor says.
            complexity: of a step of a workflow: `low`, `medium` or `high`.

        Raises:
            InvalidMessage: a value is impossible; names the field.
        """
        return Send(
            self,
            SendOptions(
                lane=None if lane is None else lane_from(lane),
                delay=timedelta(0) if delay is None else delay,
                message_id=message_id,
                results=results,
                tenant=tenant,
                unique=unique,
                expires=expires,
                deadline=deadline,
                max_retries=max_retries,
                time_limit=time_limit,
                complexity=complexity,
            ),
        )

    def message(self, *args: P.args, **kwargs: P.kwargs) -> MessageHandle[R]:
        """Build a message without enqueueing it: for `send_many`, groups and pipelines."""
        return self.built(args, kwargs, {})

    def message_with_options(
        self, *, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, **options: Any
    ) -> MessageHandle[R]:
        """Build a message with dramatiq's message options, or ours: see `using`."""
        if options:  # dramatiq turns actors given as callbacks into their names
            build: Any = getattr(super(), "message_with_options")  # noqa: B009 - untyped
            options = build(**options).options
            if not MOMENTS.keys().isdisjoint(options):
                options = with_moments(options, now_ms=_clock.now_ms())
        return self.built(args, kwargs or {}, options)

    def built(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: dict[str, Any],
        *,
        message_id: str | None = None,
    ) -> MessageHandle[R]:
        """Build a message of options as they stand in it."""
        header_id: MessageId | None = None
        if message_id is None:
            running = current_message()
            if running is not None:
                beside: bytes | None = running.header.message_id
            elif options or self.admission is not None:
                beside = self._place(args, kwargs, options)
            else:
                beside = None
            header_id, message_id = new_id_and_text(beside)
        return new_handle(
            self.queue_name,
            self.actor_name,
            tuple(args),
            kwargs,
            options,
            message_id,
            header_id,
            _clock.now_ms(),
            self.broker,
        )

    def _place(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]
    ) -> bytes | None:
        """Return what decides the partition of a message that no actor sends: key or tenant."""
        key = unique_key_of(self.admission, self.actor_name, args, kwargs, options)
        return affinity_from(key, tenant_of(options))

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


class BatchActor(Actor[[T], R]):
    """A registered function that is called with a list: one argument of each of its messages."""

    @property
    def blocking(self) -> WorkerThreadActor:
        """This actor as dramatiq's own worker calls it: with batches of one."""
        return WorkerThreadBatchActor(self)

    def __call__(self, items: list[T], /) -> Sequence[R | BaseException] | None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """Call the function here and now, as if it were no actor."""
        function: Callable[..., Any] = self.function
        return cast("Sequence[R | BaseException] | None", function(items))


class AsyncBatchActor(BatchActor[T, R]):
    """A registered coroutine function that is called with a list."""

    def __call__(self, items: list[T], /) -> Awaitable[Sequence[R | BaseException] | None]:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        """Call the coroutine function here and now, as if it were no actor."""
        function: Callable[..., Any] = self.function
        return cast("Awaitable[Sequence[R | BaseException] | None]", function(items))


if TYPE_CHECKING:
    from typing import Protocol

    class _Decorator(Protocol):
        @overload
        def __call__(self, fn: Callable[P, Awaitable[R]], /) -> AsyncActor[P, R]: ...
        @overload
        def __call__(self, fn: Callable[P, R], /) -> Actor[P, R]: ...

    class _BatchDecorator(Protocol):
        @overload
        def __call__(
            self, fn: Callable[[list[T]], Awaitable[None]], /
        ) -> AsyncBatchActor[T, None]: ...
        @overload
        def __call__(
            self, fn: Callable[[list[T]], Awaitable[Sequence[R | BaseException]]], /
        ) -> AsyncBatchActor[T, R]: ...
        @overload
        def __call__(self, fn: Callable[[list[T]], None], /) -> BatchActor[T, None]: ...
        @overload
        def __call__(
            self, fn: Callable[[list[T]], Sequence[R | BaseException]], /
        ) -> BatchActor[T, R]: ...


_KINDS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): Actor,
    (False, True): AsyncActor,
    (True, False): BatchActor,
    (True, True): AsyncBatchActor,
}
"""By whether it takes batches and whether it is a coroutine function."""


@overload
def actor(fn: Callable[P, Awaitable[R]], /) -> AsyncActor[P, R]: ...
@overload
def actor(fn: Callable[P, R], /) -> Actor[P, R]: ...
@overload
def actor(
    *,
    batch: Batch,
    queue: str = ...,
    name: str | None = ...,
    lane: Lane | str = ...,
    max_retries: int | None = ...,
    min_backoff: timedelta = ...,
    max_backoff: timedelta = ...,
    time_limit: timedelta = ...,
    max_age: timedelta = ...,
    expires: timedelta = ...,
    concurrency: int = ...,
    limits: Sequence[RateLimit | LimitedUse] = ...,
    unique: Unique = ...,
    throws: type[BaseException] | tuple[type[BaseException], ...] = ...,
    retry_when: Callable[[int, BaseException], bool] = ...,
    results: bool = ...,
    events: bool = ...,
    result_ttl: timedelta = ...,
    on_dead_letter: str = ...,
    broker: LaneBroker | None = ...,
    **options: Any,
) -> _BatchDecorator: ...
@overload
def actor(
    *,
    batch: None = ...,
    queue: str = ...,
    name: str | None = ...,
    lane: Lane | str = ...,
    max_retries: int | None = ...,
    min_backoff: timedelta = ...,
    max_backoff: timedelta = ...,
    time_limit: timedelta = ...,
    max_age: timedelta = ...,
    expires: timedelta = ...,
    concurrency: int = ...,
    limits: Sequence[RateLimit | LimitedUse] = ...,
    unique: Unique = ...,
    throws: type[BaseException] | tuple[type[BaseException], ...] = ...,
    retry_when: Callable[[int, BaseException], bool] = ...,
    results: bool = ...,
    events: bool = ...,
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
            `expires`, `concurrency`, `limits`, `unique`, `throws`, `retry_when`, `results`,
            `result_ttl`, `events`, `on_dead_letter`, `batch`, and whatever the broker's middleware
            owns. Durations are `timedelta`.

    Raises:
        UnknownOption: an option nobody owns; names the nearest known one.
        DeclarationError: an impossible value, or a name that is taken.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if not callable(function):
            raise DeclarationError(f"octoqueue.actor takes a function or options, not {function!r}")
        target = broker or default_broker()
        actor_name = name or function.__name__
        owner = f"actor {actor_name!r}"
        named = cast("object", queue)
        if not isinstance(named, str):
            raise DeclarationError(f"{owner}: queue is {named!r}, it must be a text")
        if isgeneratorfunction(function) or isasyncgenfunction(function):
            raise DeclarationError(f"{owner} is a generator function: calling it would run nothing")
        declared = checked(options, known=target.actor_options, owner=owner)
        is_async, is_batch = iscoroutinefunction(function), declared.get("batch") is not None
        if is_batch:
            check_batch_function(function, owner=owner)
        kind: Callable[..., Any] = _KINDS[is_batch, is_async]
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
