"""Local time of minutes, for profiles that follow people's clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Integers

_BLOCK = 15
"""Offsets from UTC change at quarters of an hour, at the finest."""
_MONDAY = 4 * 1440
"""The epoch began on a Thursday; a week here begins on Monday."""


class Zone:
    """Offsets of a time zone, by quarter of an hour."""

    __slots__ = ("_offsets", "_zone", "name")

    def __init__(self, name: str) -> None:
        """Know the rules of the zone `name` of the IANA database.

        Raises:
            ZoneInfoNotFoundError: there is none of that name.
        """
        self.name = name
        self._zone = None if name == "UTC" else ZoneInfo(name)
        self._offsets: dict[int, int] = {}

    def local(self, minute: int) -> int:
        """Return the minute of local time, counted from a Monday at midnight."""
        return minute - _MONDAY + self._offset(minute)

    def locals(self, minute: int, ahead: Integers) -> Integers:
        """Return those of the minutes `ahead` of `minute`."""
        now = self._offset(minute)
        if self._zone is None or now == self._offset(minute + int(ahead[-1])):
            return ahead + (minute - _MONDAY + now)
        return np.array([self.local(minute + int(each)) for each in ahead], dtype=np.int64)

    def _offset(self, minute: int) -> int:
        if self._zone is None:
            return 0
        block = minute // _BLOCK
        offset = self._offsets.get(block)
        if offset is None:
            moment = datetime.fromtimestamp(block * _BLOCK * 60, UTC).astimezone(self._zone)
            delta = moment.utcoffset()
            offset = 0 if delta is None else int(delta.total_seconds()) // 60
            if len(self._offsets) > 64:  # noqa: PLR2004 - a few hours around now are asked for
                self._offsets.clear()
            self._offsets[block] = offset
        return offset
