"""`ActorOptions`: what an actor declares, validated when it is declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from octoqueue.errors import DeclarationError, InvalidMessage, UnknownOption
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.primitives.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OWN_OPTIONS = frozenset({"lane", "results", "result_ttl", "on_dead_letter"})
"""Options dramatiq's middleware does not own; `middleware.Lanes` claims them."""

_MILLISECOND = timedelta(milliseconds=1)
_TIMES = ("min_backoff", "max_backoff", "time_limit", "result_ttl", "max_age")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What holds for actors that say nothing."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    time_limit: timedelta = timedelta(seconds=300)
    """The reference's agent_execution timeout."""
    result_ttl: timedelta = timedelta(minutes=10)
    max_payload_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorOptions:
    """The options of one actor, resolved against the defaults."""

    lane: Lane
    retry: RetryPolicy
    retry_when: Callable[[int, BaseException], bool] | None
    throws: tuple[type[BaseException], ...]
    time_limit: timedelta
    max_age: timedelta | None
    results: bool
    result_ttl_ms: int
    on_dead_letter: str | None


def checked(declared: Mapping[str, Any], *, known: Iterable[str], owner: str) -> dict[str, Any]:
    """Return declared options with durations in milliseconds, as dramatiq's middleware reads them.

    Raises:
        UnknownOption: nobody owns an option; names the nearest known one.
        DeclarationError: a value is impossible; names the option.
    """
    owned = sorted(known)
    options: dict[str, Any] = {}
    for name, value in declared.items():
        if name not in owned:
            near = get_close_matches(name, owned, n=1)
            raise UnknownOption(name, nearest=near[0] if near else None, owner=owner)
        options[name] = _milliseconds(owner, name, value) if name in _TIMES else value
    if "lane" in options:
        try:
            options["lane"] = lane_from(options["lane"]).label
        except InvalidMessage as error:
            raise DeclarationError(f"{owner}: {error}") from None
    retries = options.get("max_retries", 0)
    if retries is not None and (not isinstance(retries, int) or retries < 0):
        raise DeclarationError(
            f"{owner}: max_retries is {retries!r}, it must be 0 or more, or None"
        )
    return options


def resolved(options: Mapping[str, Any], *, lane: Lane, defaults: Defaults) -> ActorOptions:
    """Return the options of an actor with the defaults in the gaps."""
    policy = defaults.retry
    throws: type[BaseException] | tuple[type[BaseException], ...]
    throws = options.get("throws") or ()
    lane_name: str | None = options.get("lane")
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
        retry_when=options.get("retry_when"),
        throws=throws if isinstance(throws, tuple) else (throws,),
        time_limit=_duration(options, "time_limit", defaults.time_limit),
        max_age=_duration(options, "max_age", None),
        results=bool(options.get("results", False)),
        result_ttl_ms=_duration(options, "result_ttl", defaults.result_ttl) // _MILLISECOND,
        on_dead_letter=options.get("on_dead_letter"),
    )


def _milliseconds(owner: str, name: str, value: object) -> int | None:
    """Dramatiq counts in milliseconds; a timedelta says so itself."""
    if value is None:
        return None
    milliseconds = value / _MILLISECOND if isinstance(value, timedelta) else value
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        raise DeclarationError(f"{owner}: {name} is {value!r}, it must be a timedelta")
    allow_zero = name == "min_backoff"
    if milliseconds < 0 or (milliseconds == 0 and not allow_zero):
        raise DeclarationError(f"{owner}: {name} is {value}, it must be longer than nothing")
    return round(milliseconds)


def _duration(options: Mapping[str, Any], name: str, default: Any) -> Any:
    value = options.get(name)
    return default if value is None else timedelta(milliseconds=value)
