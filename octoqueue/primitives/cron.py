"""When something periodic is due: ticks of a cron expression in a time zone, or of an interval.

Pure arithmetic on milliseconds since the epoch. cronsim reads the expression and finds matches on a
wall clock without a zone; what a zone does to them is decided here:

- An expression whose minute and hour are both given names *times of day*. Each happens once a day:
  one that the spring change leaves out (02:30 when 02:00 becomes 03:00) happens at the first moment
  after the gap, one that comes twice in autumn happens the first time.
- An expression with a star in the minute or hour names a *rhythm*. It follows real time: what the
  change leaves out does not happen, what comes twice happens twice.

That is Debian's cron. cronsim's own handling of zones is not used: on the days when a zone moves by
half an hour (Lord Howe), it misses ticks of rhythms.

Weakness: a tick depends on the zone rules of the machine that computes it. Workers whose zone
databases disagree about a future change fire at the times of whoever comes first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol, cast
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from octoqueue.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_INTERVAL = timedelta(seconds=1)
MOST_INTERVAL = timedelta(days=366)

_DIGEST_BYTES = 8
_SECOND_MS = 1_000
_DAY_MS = 86_400_000
_FIELDS_WITH_SECONDS = 6
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - wall time, before there is a zone
_LAST_MS = 250_000_000_000_000
"""The year 9892: what comes later than that is never."""


class Ticks(Protocol):
    """When something periodic is due."""

    def after(self, moment_ms: int) -> Iterator[int]:
        """Yield the ticks after a moment, strictly increasing; ends when there are no more."""
        ...

    def latest(self, count: int, *, after_ms: int, until_ms: int) -> list[int]:
        """Return the last `count` ticks later than one moment and not later than another."""
        ...

    @property
    def digest(self) -> str:
        """What tells these ticks from others, in 16 characters."""
        ...


def next_tick(ticks: Ticks, after_ms: int) -> int | None:
    """Return the first tick after a moment; None when there is none in reach."""
    return next(ticks.after(after_ms), None)


@dataclass(frozen=True, slots=True)
class Every:
    """The multiples of an interval since 1970, the same on every machine."""

    interval_ms: int

    def after(self, moment_ms: int) -> Iterator[int]:
        """Yield the ticks after a moment."""
        tick = (moment_ms // self.interval_ms + 1) * self.interval_ms
        while tick < _LAST_MS:
            yield tick
            tick += self.interval_ms

    def latest(self, count: int, *, after_ms: int, until_ms: int) -> list[int]:
        """Return the last ticks of a span."""
        last = until_ms // self.interval_ms
        first = max(after_ms // self.interval_ms + 1, last - count + 1)
        return [number * self.interval_ms for number in range(first, last + 1)]

    @property
    def digest(self) -> str:
        """What tells these ticks from others."""
        return _digest("every", str(self.interval_ms))

    def __str__(self) -> str:
        """Return the interval as a person reads it."""
        return f"every {timedelta(milliseconds=self.interval_ms)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """The moments a cron expression matches in a time zone; make it with `cron_from`."""

    expression: str
    tz: str = "UTC"

    def after(self, moment_ms: int) -> Iterator[int]:
        """Yield the ticks after a moment."""
        zone = _zone(self.tz)
        if self._names_times_of_day:
            return self._times_of_day(moment_ms, zone)
        return self._rhythm(moment_ms, zone)

    def latest(self, count: int, *, after_ms: int, until_ms: int) -> list[int]:
        """Return the last ticks of a span, without going through all of a long one."""
        span_ms = _SECOND_MS * max(count, 60)
        while True:
            begin_ms = max(after_ms, until_ms - span_ms)
            found = deque(takewhile(lambda tick: tick <= until_ms, self.after(begin_ms)), count)
            if len(found) == count or begin_ms == after_ms:
                return list(found)
            span_ms *= 8

    @property
    def digest(self) -> str:
        """What tells these ticks from others."""
        return _digest("cron", " ".join(self.expression.upper().split()), self.tz)

    def __str__(self) -> str:
        """Return the expression."""
        return self.expression

    @property
    def _names_times_of_day(self) -> bool:
        fields = self.expression.split()
        minute, hour = fields[1:3] if len(fields) == _FIELDS_WITH_SECONDS else fields[:2]
        return not minute.startswith("*") and not hour.startswith("*")

    def _times_of_day(self, moment_ms: int, zone: ZoneInfo) -> Iterator[int]:
        latest_ms = moment_ms
        for match in _matches(self.expression, _wall(moment_ms, zone)):
            tick = _begin_of(match, zone)
            if tick > latest_ms:  # several in one gap happen together, and those are one tick
                latest_ms = tick
                yield tick

    def _rhythm(self, moment_ms: int, zone: ZoneInfo) -> Iterator[int]:
        """Yield matches as long as the zone's offset holds, then go on from where it changes."""
        offset_ms, wall = _offset_ms(moment_ms, zone), _wall(moment_ms, zone)
        is_over = False
        while not is_over:
            is_over = True
            for match in _matches(self.expression, wall):
                tick = _ms_of(match.replace(tzinfo=UTC)) - offset_ms
                change_ms = _first_change(moment_ms, tick, zone)
                if change_ms is not None:
                    moment_ms, offset_ms = change_ms, _offset_ms(change_ms, zone)
                    wall = _wall(change_ms, zone) - timedelta(seconds=1)  # it may be a tick itself
                    is_over = False
                    break
                moment_ms = tick
                yield tick


def cron_from(expression: str, tz: str = "UTC") -> Cron:
    """Return the ticks of an expression with five fields, or six with seconds in front.

    Raises:
        DeclarationError: the expression cannot be read or never matches, or the zone is unknown;
            names the field.
    """
    try:
        _zone(tz)
    except (KeyError, ValueError, OSError, TypeError):  # ZoneInfoNotFoundError is a KeyError
        raise DeclarationError(f"tz: {tz!r} is no time zone, such as 'Europe/Berlin'") from None
    given = cast("object", expression)
    if not isinstance(given, str):
        raise DeclarationError(f"cron: {given!r} is no text, such as '0 3 * * *'")
    try:
        matches = _matches(expression, _ANY_DAY)
        found = next(matches, None)
    except (CronSimError, AssertionError, ValueError, OverflowError) as error:
        raise DeclarationError(f"cron: {expression!r} cannot be read: {error}") from None
    if found is None:
        raise DeclarationError(f"cron: {expression!r} never matches")
    return Cron(expression, tz)


def every_from(interval: timedelta) -> Every:
    """Return the ticks of an interval.

    Raises:
        DeclarationError: it is shorter than a second or longer than a year.
    """
    if not isinstance(interval, timedelta):  # pyright: ignore[reportUnnecessaryIsInstance] - a user's
        raise DeclarationError(f"every: {interval!r} is no timedelta")
    if not LEAST_INTERVAL <= interval <= MOST_INTERVAL:
        raise DeclarationError(
            f"every: {interval} is not between {LEAST_INTERVAL} and {MOST_INTERVAL}"
        )
    return Every(interval // timedelta(milliseconds=1))


def _matches(expression: str, wall: datetime) -> Iterator[datetime]:
    """Yield the matches after a wall time."""
    matches = CronSim(expression, wall)
    while True:
        try:
            yield next(matches)
        except (StopIteration, OverflowError):  # none in fifty years, or none before the year 10000
            return


@lru_cache(maxsize=64)
def _zone(tz: str) -> ZoneInfo:
    return ZoneInfo(tz)


def _wall(moment_ms: int, zone: ZoneInfo) -> datetime:
    """Return what a clock on the wall shows; a match within its second is still to come."""
    shown = datetime.fromtimestamp(moment_ms // _SECOND_MS, tz=zone)
    return shown.replace(tzinfo=None, fold=0)


def _ms_of(moment: datetime) -> int:
    return round(moment.timestamp()) * _SECOND_MS


def _offset_ms(moment_ms: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(moment_ms // _SECOND_MS, tz=zone).utcoffset()
    assert offset is not None  # noqa: S101 - it has a zone
    return offset // timedelta(milliseconds=1)


def _begin_of(wall: datetime, zone: ZoneInfo) -> int:
    """Return the first moment at which a clock on the wall shows this, or would have passed it."""
    # In a gap fold=0 means the offset from before it, which gives a moment after the gap.
    tick = _ms_of(wall.replace(tzinfo=zone, fold=0))
    if _wall(tick, zone) == wall:
        return tick
    change_ms = _first_change(tick - _DAY_MS, tick, zone)
    return tick if change_ms is None else change_ms


def _first_change(after_ms: int, until_ms: int, zone: ZoneInfo) -> int | None:
    """Return the first moment after one and not after another at which the offset is a new one."""
    begun = _offset_ms(after_ms, zone)
    low = high = after_ms
    while _offset_ms(high, zone) == begun:
        if high >= until_ms:
            return None
        low, high = high, min(high + _DAY_MS, until_ms)
    low_s, high_s = low // _SECOND_MS, high // _SECOND_MS
    while high_s - low_s > 1:
        middle = (low_s + high_s) // 2
        if _offset_ms(middle * _SECOND_MS, zone) == begun:
            low_s = middle
        else:
            high_s = middle
    return high_s * _SECOND_MS


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest()
