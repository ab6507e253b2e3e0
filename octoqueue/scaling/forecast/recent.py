"""The arrivals of the last week, minute by minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats

WEEK_MINUTES: Final = 7 * 1440
_KEPT: Final = WEEK_MINUTES + 1


class Recent:
    """A ring of minutes; unknown ones are no number."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Floats = np.full(_KEPT, np.nan)

    def put(self, minute: int, arrivals: float) -> None:
        """Keep the arrivals of a minute, in place of the one that is over a week older."""
        self.counts[minute % _KEPT] = arrivals

    def of(self, minute: int) -> float | None:
        """Return the arrivals of a minute not more than a week old, None when unknown."""
        arrivals = float(self.counts[minute % _KEPT])
        return None if arrivals != arrivals else arrivals  # noqa: PLR0124 - no number

    def forget(self, first: int, end: int) -> None:
        """Make the minutes from `first` on, `end` excluded, unknown."""
        if end - first >= _KEPT:
            self.counts[:] = np.nan
        elif end > first:
            self.counts[np.arange(first, end) % _KEPT] = np.nan
