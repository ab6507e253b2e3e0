"""`@octoqueue.periodic`: an actor that is also enqueued by itself, on a schedule."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import orjson

from octoqueue.broker.actors import Actor, BatchActor
from octoqueue.broker.admission import tenant_of
from octoqueue.broker.schedules import Periodic
from octoqueue.errors import DeclarationError, InvalidMessage
from octoqueue.primitives.cron import cron_from, every_from
from octoqueue.primitives.lane import lane_from
from octoqueue.primitives.schedules import CATCH_UP_LIMIT, Missed, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Literal

    from dramatiq.message import Message

    from octoqueue.primitives.cron import Ticks
    from octoqueue.primitives.lane import Lane

    MissedPolicy = Missed | Literal["coalesce", "catch_up"]

A = TypeVar("A", bound=Actor[..., Any])

MOST_NAME_BYTES = 200
_MOST_CAUGHT_UP = 1_000_000


@overload
def periodic(
    *,
    cron: str,
    tz: str = ...,
    name: str | None = ...,
    missed: MissedPolicy = ...,
    catch_up_limit: int = ...,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    lane: Lane | str | None = ...,
    tenant: str | None = ...,
) -> Callable[[A], A]: ...
@overload
def periodic(
    *,
    every: timedelta,
    name: str | None = ...,
    missed: MissedPolicy = ...,
    catch_up_limit: int = ...,
    args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ...,
    lane: Lane | str | None = ...,
    tenant: str | None = ...,
) -> Callable[[A], A]: ...


def periodic(
    *,
    cron: str | None = None,
    every: timedelta | None = None,
    tz: str = "UTC",
    name: str | None = None,
    missed: MissedPolicy = Missed.COALESCE,
    catch_up_limit: int = CATCH_UP_LIMIT,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    lane: Lane | str | None = None,
    tenant: str | None = None,
) -> Callable[[A], A]:
    """Enqueue an actor by itself, at each tick of a schedule; goes above `@octoqueue.actor`.

    Every worker process that declares the actor fires its schedules, and each tick is fired once,
    by the clock of the store. `current_message().scheduled_for` tells the actor its tick. An actor
    may have several schedules, each with a `name`.

    Args:
        cron: five fields (minute, hour, day, month, weekday), or six with seconds in front.
        every: instead of `cron`: the multiples of an interval since 1970, at least a second.
        tz: the zone whose clock the expression means.
        name: what the schedule is known by; the actor's name by default. To rename a schedule is
            to begin it anew.
        missed: what becomes of ticks while no worker ran: `coalesce` makes one message for the
            latest, `catch_up` one for each, in order.
        catch_up_limit: how many are caught up with; older ones are dropped, with a warning.
        args: positional arguments of the message.
        kwargs: keyword arguments of the message.
        lane: instead of the actor's lane.
        tenant: on whose behalf.

    Raises:
        DeclarationError: a value is impossible, or the name is taken; names the argument.
    """
    ticks = _ticks(cron, every, tz)
    policy = _policy(missed)
    limit: object = catch_up_limit
    if type(limit) is not int or not 1 <= limit <= _MOST_CAUGHT_UP:
        raise DeclarationError(f"catch_up_limit: {limit!r} is not 1 to {_MOST_CAUGHT_UP:,}")
    options = _options(lane, tenant)
    arguments, named = _arguments(args, kwargs)

    def declare(actor: A) -> A:
        _expect_actor(actor)
        known_as = actor.actor_name if name is None else name
        wanted = cast("object", known_as)
        if not isinstance(wanted, str) or not 0 < len(wanted.encode()) <= MOST_NAME_BYTES:
            raise DeclarationError(f"name: {wanted!r} is no text of 1 to {MOST_NAME_BYTES} bytes")
        _expect_arguments(actor, arguments, named)

        def build() -> Message[Any]:
            return actor.message_with_options(args=arguments, kwargs=dict(named), **options)

        actor.lanes.schedules.declare(
            Periodic(
                schedule=Schedule(
                    name=known_as, ticks=ticks, missed=policy, catch_up_limit=catch_up_limit
                ),
                actor=actor.actor_name,
                queue=actor.queue_name,
                build=build,
            )
        )
        return actor

    return declare


def _arguments(
    args: Sequence[Any], kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    listed, named = cast("object", args), cast("object", kwargs)
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise DeclarationError(f"args: {listed!r} is no list or tuple")
    if named is not None and not isinstance(named, Mapping):
        raise DeclarationError(f"kwargs: {named!r} is no mapping of names to values")
    return tuple(args), dict(kwargs or {})


def _ticks(cron: str | None, every: timedelta | None, tz: str) -> Ticks:
    if (cron is None) == (every is None):
        raise DeclarationError("periodic takes either cron= or every=")
    if cron is not None:
        return cron_from(cron, tz)
    assert every is not None  # noqa: S101 - one of them is given
    if tz != "UTC":
        raise DeclarationError("tz: an interval has no time zone; use cron= for times of day")
    return every_from(every)


def _policy(missed: str) -> Missed:
    try:
        return Missed(missed)
    except ValueError:
        known = ", ".join(Missed)
        raise DeclarationError(f"missed: {missed!r} is none of {known}") from None


def _options(lane: Lane | str | None, tenant: str | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    try:
        if lane is not None:
            options["lane"] = lane_from(lane).label
        if tenant is not None:
            options["tenant"] = tenant
            tenant_of(options)
    except InvalidMessage as error:
        raise DeclarationError(str(error)) from None
    return options


def _expect_actor(actor: object) -> None:
    if not isinstance(actor, Actor):
        raise DeclarationError(
            f"{getattr(actor, '__name__', actor)!r} is no actor: "
            "@octoqueue.periodic goes above @octoqueue.actor"
        )


def _expect_arguments(
    actor: Actor[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Refuse at once what would fail at every tick."""
    try:
        if isinstance(actor, BatchActor):
            inspect.signature(_one_item).bind(*args, **kwargs)
        else:
            inspect.signature(actor.function).bind(*args, **kwargs)
        orjson.dumps([args, kwargs])
    except TypeError as error:
        raise DeclarationError(
            f"args, kwargs: actor {actor.actor_name!r} cannot be called with them: {error}"
        ) from None


def _one_item(item: object, /) -> object:
    """Take what a message of a batch actor takes."""
    return item
