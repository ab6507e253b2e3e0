"""`RateLimit`: how fast messages may run, declared on actors and shared by name.

    openai = octoqueue.RateLimit("openai", rate=90_000, per=timedelta(minutes=1))

    @octoqueue.actor(limits=[openai.uses(units=lambda prompt: len(prompt) // 4)])
    async def ask(prompt: str) -> str: ...

The number counts across all workers and all actors that use the name. `limits.<name>` in the
configuration wins over the code, so that an operator can turn it without a deploy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, TypeAlias, cast

from octoqueue.errors import DeclarationError, InvalidMessage, UnitsOverBurst
from octoqueue.primitives.extension import MOST_NAME_BYTES, MOST_UNITS, LimitUse

Units: TypeAlias = int | Callable[..., int]
Key: TypeAlias = str | Callable[..., str]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `rate` units in each `per`, and `burst` of them at once.

    In any stretch of time W at most `burst + rate * W / per` units start. Without a `burst` it is
    the rate.

    Raises:
        DeclarationError: a value is impossible; names it.
    """

    name: str
    rate: float
    per: timedelta = timedelta(seconds=1)
    burst: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no limit can mean."""
        require_name("the name of a RateLimit", self.name)
        owner = f"RateLimit {self.name!r}"
        if not _is_number(self.rate) or not 0 < self.rate < math.inf:
            raise DeclarationError(f"{owner}: rate is {self.rate!r}, it must be a number above 0")
        per: object = cast("object", self.per)  # whoever is not type-checked may give anything
        if not isinstance(per, timedelta) or per < timedelta(milliseconds=1):
            raise DeclarationError(
                f"{owner}: per is {per!r}, it must be a timedelta of at least 1 ms"
            )
        if self.burst is not None and not is_units(self.burst, least=1):
            raise DeclarationError(
                f"{owner}: burst is {self.burst!r}, it must be 1 to {MOST_UNITS:,}"
            )

    @property
    def most(self) -> int:
        """Units it gives at once."""
        return max(1, math.floor(self.rate)) if self.burst is None else self.burst

    def uses(self, *, units: Units = 1, key: Key | None = None) -> LimitedUse:
        """Return what a message of an actor takes out of this limit.

        Args:
            units: how many, or a function of the call's arguments that says so.
            key: whose share it is, when the limit holds for each key by itself (a customer, a
                region); a name, or a function of the call's arguments.

        Raises:
            DeclarationError: a value is impossible; names it.
        """
        return LimitedUse(limit=self, units=units, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedUse:
    """What the messages of one actor take out of one limit."""

    limit: RateLimit
    units: Units = 1
    key: Key | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be evaluated."""
        owner = f"RateLimit {self.limit.name!r}"
        if callable(self.units):
            _require_plain(owner, "units", self.units)
        elif not is_units(self.units):
            raise DeclarationError(
                f"{owner}: units is {self.units!r}, it must be 0 to {MOST_UNITS:,} or a function"
            )
        if callable(self.key):
            _require_plain(owner, "key", self.key)
        elif self.key is not None:
            require_name(f"{owner}: key", self.key)

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, most: int) -> LimitUse:
        """Return what one call takes, at `most` units.

        Raises:
            InvalidMessage: a function failed, or gave what is impossible.
            UnitsOverBurst: it costs more than the limit ever gives at once.
        """
        name = self.limit.name
        units: object = self.units
        if callable(units):
            units = called("limits", f"the units of {name!r}", units, args, kwargs)
        if not isinstance(units, int) or not is_units(units):
            raise InvalidMessage(
                "limits", f"the units of {name!r} are {units!r}, not 0 to {MOST_UNITS:,}"
            )
        if units > most:
            raise UnitsOverBurst(name, units=units, burst=most)
        key: object = self.key
        if callable(key):
            key = called("limits", f"the key of {name!r}", key, args, kwargs)
        if key is None:
            key = ""
        if not isinstance(key, str):
            raise InvalidMessage("limits", f"the key of {name!r} is {key!r}, not a text")
        return LimitUse(name, key, units)


def uses_from(owner: str, value: object) -> tuple[LimitedUse, ...]:
    """Return what an actor declares as its `limits`; a limit by itself is used by one unit.

    Raises:
        DeclarationError: it is something else, or a limit is used twice with one key.
    """
    if not isinstance(value, (list, tuple)):
        raise DeclarationError(f"{owner}: limits is {value!r}, it must be a list of limit uses")
    uses: list[LimitedUse] = []
    for one in value:  # pyright: ignore[reportUnknownVariableType] - told apart below
        if isinstance(one, RateLimit):
            uses.append(one.uses())
        elif isinstance(one, LimitedUse):
            uses.append(one)
        else:
            raise DeclarationError(
                f"{owner}: limits holds {one!r}, it must hold RateLimit(...).uses(...)"
            )
    known: dict[str, RateLimit] = {}
    taken: set[tuple[str, object]] = set()
    for use in uses:
        if known.setdefault(use.limit.name, use.limit) != use.limit:
            raise DeclarationError(f"{owner}: limits defines {use.limit.name!r} in two ways")
        if (use.limit.name, use.key) in taken:
            raise DeclarationError(f"{owner}: limits uses {use.limit.name!r} twice")
        taken.add((use.limit.name, use.key))
    return tuple(uses)


def called(
    field: str,
    what: str,
    function: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> object:
    """Return what a function of the program says of a call.

    Raises:
        InvalidMessage: it raised; names the field.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise InvalidMessage(field, f"{what} cannot be told: {error!r}") from error


def require_name(what: str, name: object) -> None:
    """Refuse what the store has no room for.

    Raises:
        DeclarationError: it is no text, empty or too long.
    """
    if not isinstance(name, str) or not 1 <= len(name.encode()) <= MOST_NAME_BYTES:
        raise DeclarationError(
            f"{what} is {name!r}, it must be a text of 1 to {MOST_NAME_BYTES} bytes"
        )


def _require_plain(owner: str, field: str, function: Callable[..., object]) -> None:
    if iscoroutinefunction(function):
        raise DeclarationError(f"{owner}: {field} is a coroutine function, it must be a plain one")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_units(value: object, *, least: int = 0) -> bool:
    """Return whether a number can be units of a limit."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_UNITS
