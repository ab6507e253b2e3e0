"""`ActorOptions`: what an actor declares, validated when it is declared."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from octoqueue.broker.batch_option import Batch
from octoqueue.errors import DeclarationError, InvalidMessage, UnknownOption
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.primitives.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OWN_OPTIONS = frozenset(
    {
        "batch",
        "concurrency",
        "events",
        "expires",
        "lane",
        "limits",
        "on_dead_letter",
        "result_ttl",
        "results",
        "unique",
    }
)
"""Options dramatiq's middleware does not own; `middleware.Lanes` claims them."""

MESSAGE_OPTIONS = frozenset(
    {
        "max_retries",
        "min_backoff",
        "max_backoff",
        "time_limit",
        "max_age",
        "notify_shutdown",
        "result_ttl",
        "on_dead_letter",
        "on_retry_exhausted",
    }
)
"""Options a single message may carry instead of its actor's."""

_MILLISECOND = timedelta(milliseconds=1)
_TIMES = frozenset({"expires", "max_age", "max_backoff", "min_backoff", "result_ttl", "time_limit"})
_ALSO_MEANT = ("broker", "name", "queue")
"""Parameters of `octoqueue.actor` that are no options, for the hint at a misspelt one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for actors that say nothing."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    time_limit: timedelta | None = timedelta(seconds=300)
    """The reference's agent_execution timeout; None for no limit."""
    max_age: timedelta | None = None
    retry_when: Callable[[int, BaseException], bool] | None = None
    notify_shutdown: bool = False
    result_ttl: timedelta = timedelta(minutes=10)
    max_payload_bytes: int = 1 << 20
    max_event_bytes: int = 16 << 10
    max_value_bytes: int = 1 << 20
    """Of what an actor returns as a step of a workflow."""
    max_deliveries: int = 5
    """Workers lost with a message before it is stopped as poison, in dramatiq's own worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorOptions:
    """The options of one actor, resolved against the defaults."""

    lane: Lane
    retry: RetryPolicy
    retry_when: Callable[[int, BaseException], bool] | None
    throws: tuple[type[BaseException], ...]
    time_limit: timedelta | None
    time_limit_seconds: float | None
    """The same number, at hand for every attempt."""
    max_age: timedelta | None
    expires_ms: int | None
    """How long after it was sent a message may still be started."""
    results: bool
    events: bool
    result_ttl_ms: int
    on_dead_letter: str | None
    on_retry_exhausted: str | None
    """dramatiq's own name for an actor that is told, with dramatiq's arguments."""
    notify_shutdown: bool = False
    """Whether it is interrupted as soon as its worker is asked to stop."""
    batch: Batch | None = None
    """How its messages are called together; None when each is called by itself."""


def checked(declared: Mapping[str, Any], *, known: Iterable[str], owner: str) -> dict[str, Any]:
    """Return declared options with durations in milliseconds, as dramatiq's middleware reads them.

    Raises:
        UnknownOption: nobody owns an option; names the nearest known one.
        DeclarationError: a value is impossible; names the option.
    """
    owned = frozenset(known)
    options: dict[str, Any] = {}
    for name, value in declared.items():
        if name not in owned:
            near = get_close_matches(name, sorted(owned.union(_ALSO_MEANT)), n=1)
            raise UnknownOption(name, nearest=near[0] if near else None, owner=owner)
        if name in _TIMES:
            options[name] = _milliseconds(owner, name, value)
        else:
            options[name] = _plain(owner, name, value)
    shortest, longest = options.get("min_backoff"), options.get("max_backoff")
    if shortest is not None and longest is not None and longest < shortest:
        raise DeclarationError(
            f"{owner}: max_backoff ({longest} ms) is shorter than min_backoff ({shortest} ms)"
        )
    return options


def _plain(owner: str, name: str, value: Any) -> Any:
    """Return the value of an option that is no duration, as dramatiq's middleware reads it."""
    if name == "lane":
        try:
            return lane_from(value).label
        except InvalidMessage as error:
            raise DeclarationError(f"{owner}: {error}") from None
    rule = _RULES.get(name)
    if rule is not None and value is not None and not rule[0](value):
        raise DeclarationError(f"{owner}: {name} is {value!r}, it must be {rule[1]}")
    return value


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_errors(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_are_errors(one) for one in cast("tuple[object, ...]", value))
    return isinstance(value, type) and issubclass(value, BaseException)


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "batch": (lambda value: isinstance(value, Batch), "an octoqueue.Batch"),
    "max_retries": (_is_count, "0 or more, or None for no limit"),
    "notify_shutdown": (lambda value: isinstance(value, bool), "True or False"),
    "throws": (_are_errors, "an exception class or a tuple of them"),
    "retry_when": (callable, "a function of the attempt and the error"),
    "results": (lambda value: isinstance(value, bool), "True or False"),
    "events": (lambda value: isinstance(value, bool), "True or False"),
    "on_dead_letter": (lambda value: isinstance(value, str), "the name of an actor"),
}


def resolved(options: Mapping[str, Any], *, lane: Lane, defaults: Defaults) -> ActorOptions:
    """Return the options of an actor, or of a message, with the defaults in the gaps.

    Raises:
        DeclarationError: a value is impossible.
    """
    try:
        return _resolved(options, lane, defaults)
    except (TypeError, ValueError, OverflowError, InvalidMessage) as error:
        raise DeclarationError(f"impossible options {dict(options)!r}: {error}") from None


def _resolved(options: Mapping[str, Any], lane: Lane, defaults: Defaults) -> ActorOptions:
    for name, (holds, must_be) in _RULES.items():
        if (value := options.get(name)) is not None and not holds(value):
            raise DeclarationError(f"{name} is {value!r}, it must be {must_be}")
    policy = defaults.retry
    expires = _duration(options, "expires", None)
    throws: type[BaseException] | tuple[type[BaseException], ...]
    throws = options.get("throws") or ()
    lane_name: str | None = options.get("lane")
    time_limit = _time_limit(options, defaults.time_limit)
    notify: bool | None = options.get("notify_shutdown")
    return ActorOptions(
        lane=lane if lane_name is None else lane_from(lane_name),
        retry=RetryPolicy(
            max_retries=options.get("max_retries", policy.max_retries),
            min_backoff=_duration(options, "min_backoff", policy.min_backoff),
            max_backoff=max(
                _duration(options, "max_backoff", policy.max_backoff),
                _duration(options, "min_backoff", policy.min_backoff),
            ),
        ),
        retry_when=options.get("retry_when", defaults.retry_when),
        throws=throws if isinstance(throws, tuple) else (throws,),
        time_limit=time_limit,
        time_limit_seconds=None if time_limit is None else time_limit.total_seconds(),
        max_age=_duration(options, "max_age", defaults.max_age),
        expires_ms=None if expires is None else expires // _MILLISECOND,
        results=bool(options.get("results", False)),
        events=bool(options.get("events", False)),
        result_ttl_ms=_duration(options, "result_ttl", defaults.result_ttl) // _MILLISECOND,
        on_dead_letter=options.get("on_dead_letter"),
        on_retry_exhausted=options.get("on_retry_exhausted"),
        notify_shutdown=defaults.notify_shutdown if notify is None else bool(notify),
        batch=options.get("batch"),
    )


def _time_limit(options: Mapping[str, Any], default: timedelta | None) -> timedelta | None:
    if options.get("time_limit") == math.inf:
        return None
    limit: timedelta | None = _duration(options, "time_limit", default)
    return limit


def _milliseconds(owner: str, name: str, value: object) -> float | None:
    """Return a duration as dramatiq counts; a number says no unit, so it is refused."""
    if value is None:
        return None
    if name == "time_limit" and value in (math.inf, timedelta.max):
        return math.inf  # dramatiq's way to say that there is none
    if not isinstance(value, timedelta):
        raise DeclarationError(
            f"{owner}: {name} is {value!r}, it must be a timedelta, such as timedelta(seconds=30)"
        )
    milliseconds = value / _MILLISECOND
    least = 0 if name == "min_backoff" else 1
    if not least <= milliseconds < math.inf:
        raise DeclarationError(f"{owner}: {name} is {value}, it must be at least {least} ms")
    return round(milliseconds)


def _duration(options: Mapping[str, Any], name: str, default: Any) -> Any:
    """Return a time as dramatiq writes it, in milliseconds; but for a backoff 0 says nothing."""
    value: object = options.get(name)
    least = 0 if name == "min_backoff" else 1
    if value is None or (value == 0 < least):
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value:
        raise DeclarationError(
            f"{name} is {value!r}, it must be a number of milliseconds, at least {least}"
        )
    return timedelta(milliseconds=value)
