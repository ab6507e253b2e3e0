"""How much arrives now: means of the last minutes, which one odd minute hardly moves.

A minute far off all that is usual counts as at most `_LEAST_LIMIT` or six usual deviations away.
The second one in a row on the same side is believed: that is a step, and the means begin anew at
the mean of both.
"""

from __future__ import annotations

import math
from typing import Final

FACTORS: Final = (0.5, 0.2, 0.05)
"""Weights of the newest minute in the fast, the middle and the slow mean."""
_NOISE_FACTOR: Final = 1 / 720
"""What is usual is the mean of half a day."""
_OUTLYING: Final = 6.0
_LEAST_LIMIT: Final = 0.3
_BELIEVED_AT: Final = 2
_FORGETTING: Final = 0.5 ** (1 / 1440)
_TINY: Final = 1e-9
FORGETS_AFTER_MINUTES: Final = 5
"""After a gap of more minutes the means begin anew."""


class Level:
    """Means of arrivals a minute."""

    __slots__ = (
        "deviation",
        "fast",
        "largest",
        "middle",
        "newest",
        "noise",
        "odd",
        "run",
        "scale",
        "seen",
        "slow",
        "taken",
    )

    def __init__(self) -> None:
        self.newest = 0.0
        """The last minute, bounded when it was odd."""
        self.fast = 0.0
        self.middle = 0.0
        self.slow = 0.0
        self.noise = 0.0
        """Mean absolute change from one minute to the next."""
        self.scale = 0.0
        """Mean of half a day."""
        self.deviation = 0.0
        """Mean absolute logarithm of a minute over the middle mean."""
        self.largest = 0.0
        """The largest minute of late; half of it is forgotten in a day."""
        self.run = 0
        """Odd minutes in a row: above 0 those that are high, below 0 those that are low."""
        self.odd = 0.0
        """Their mean."""
        self.seen = 0
        """Minutes since the means began."""
        self.taken = 1
        """Minutes in all."""

    @property
    def offset(self) -> float:
        """What is added before a logarithm is taken: a change as large as noise says little."""
        return min(self.noise, self.scale) + _TINY * self.scale + 1e-12

    def begin_anew(self) -> None:
        """Forget the means of the last minutes, not what is usual."""
        self.seen = 0
        self.run = 0

    def add(self, arrivals: float) -> None:
        """Take one more minute."""
        if self.seen == 0:
            if self.scale == 0:
                self.scale = arrivals
            self.largest = max(arrivals, self.largest)
            self.newest = self.fast = self.middle = self.slow = arrivals
            self.seen = 1
            return
        believed = self._believed(arrivals)
        self.taken += 1
        weight = max(_NOISE_FACTOR, 1 / self.taken)
        self.noise += weight * (abs(believed - self.newest) - self.noise)
        self.scale += weight * (believed - self.scale)
        self.largest = max(arrivals, _FORGETTING * self.largest)
        self.newest = believed
        if abs(self.run) >= _BELIEVED_AT:
            self.fast = self.middle = self.slow = self.odd
            self.seen, self.run = _BELIEVED_AT, 0
            return
        self.seen += 1
        fast, middle, slow = (max(factor, 1 / self.seen) for factor in FACTORS)
        self.fast += fast * (believed - self.fast)
        self.middle += middle * (believed - self.middle)
        self.slow += slow * (believed - self.slow)

    def _believed(self, arrivals: float) -> float:
        offset = self.offset
        away = math.log((arrivals + offset) / (self.middle + offset))
        limit = max(_LEAST_LIMIT, _OUTLYING * self.deviation)
        self.deviation += _NOISE_FACTOR * 4 * (min(abs(away), limit) - self.deviation)
        if abs(away) <= limit:
            self.run = 0
            return arrivals
        side = 1 if away > 0 else -1
        self.run = self.run + side if self.run * side > 0 else side
        self.odd += (arrivals - self.odd) / abs(self.run)
        if abs(self.run) >= _BELIEVED_AT:
            return arrivals
        return max(0.0, (self.middle + offset) * math.exp(side * limit) - offset)
