"""What was said of the minutes to come, kept until they are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats, Integers

_KEPT: Final = 64
"""Minutes: more than the longest horizon."""


class Made:
    """Forecasts by the minute after which they were made, and by horizon."""

    __slots__ = ("at", "level", "logs", "now", "offset", "plain", "signs", "spreads")

    def __init__(self, horizons: int, signs: int) -> None:
        self.at: Integers = np.full(_KEPT, -1, dtype=np.int64)
        self.now: Floats = np.zeros(_KEPT)
        """Arrivals of that minute."""
        self.level: Floats = np.ones(_KEPT)
        self.offset: Floats = np.ones(_KEPT)
        self.signs: Floats = np.zeros((_KEPT, horizons, signs))
        self.plain: Floats = np.zeros((_KEPT, horizons))
        """What was expected before any correction."""
        self.logs: Floats = np.zeros((_KEPT, horizons))
        """Logarithms of what was expected, with the offset."""
        self.spreads: Floats = np.zeros((_KEPT, horizons))

    def rows(self, minutes: Integers) -> Integers:
        """Return where forecasts made after these minutes are, if they were made."""
        rows: Integers = minutes % _KEPT
        return rows

    def were_made(self, minutes: Integers) -> Floats:
        """Return 1 for each of these minutes after which a forecast was made, otherwise 0."""
        were_made: Floats = (self.at[self.rows(minutes)] == minutes).astype(np.float64)
        return were_made

    def forget(self) -> None:
        """Forget them all."""
        self.at[:] = -1
