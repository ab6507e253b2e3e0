"""What deciders need beside the expectation, to take the running minute into account.

A forecast knows whole minutes; who decides sees the seconds of the running one, too. So a forecast
says how the minutes to come follow the running one, and how large errors are once that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from octoqueue.scaling.forecast.errors import CENTRES
from octoqueue.scaling.forecast.level import FACTORS
from octoqueue.scaling.forecast.regression import PRIOR

if TYPE_CHECKING:
    from octoqueue.scaling.forecast.arrays import Floats
    from octoqueue.scaling.forecast.errors import Errors
    from octoqueue.scaling.forecast.recent import Recent

TAIL_PROBABILITIES: Final = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
HIGHEST_OF_MINUTES: Final = 10

_FAST, _MIDDLE, _SLOW = FACTORS
_SIGNS_FOLLOW: Final = np.array([1 - _FAST, _FAST - _MIDDLE, _MIDDLE - _SLOW, 0.0, 0.0, _MIDDLE])
"""By how much each sign of `regression.PRIOR` changes with the logarithm of the newest minute."""

assert _SIGNS_FOLLOW.shape == PRIOR.shape  # noqa: S101 - the same signs in the same order


def follows_of(theta: Floats) -> Floats:
    """Return, for each row of weights, how the minute of that horizon follows the newest one.

    The derivative of the expectation's logarithm by that of the newest minute, at a level that has
    not changed: through the fast mean, of which the expectation is a multiple, and through the
    signs.
    """
    follows: Floats = np.clip(_FAST + theta @ _SIGNS_FOLLOW, 0.0, 1.0)
    return follows


def tail_of(errors: Errors, node: int) -> tuple[tuple[float, float], ...]:
    """Return with which probability an error of a horizon was larger than how many spreads."""
    row: Floats = errors.histogram[node]
    sums: Floats = np.cumsum(row)
    wanted: Floats = (1 - np.array(TAIL_PROBABILITIES)) * sums[-1]
    above = np.minimum(np.searchsorted(sums, wanted), len(sums) - 1)
    inside: Floats = np.maximum(row[above], 1e-300)
    share = np.clip(1 - (sums[above] - wanted) / inside, 0.0, 1.0)
    spreads = CENTRES[above] + (share - 0.5) * (CENTRES[1] - CENTRES[0])
    return tuple(zip(TAIL_PROBABILITIES, spreads.tolist(), strict=True))


def highest_of(recent: Recent, last_minute: int) -> float:
    """Return the largest of the last ten minutes that are known; 0 without any."""
    known = (recent.of(last_minute - ago) for ago in range(HIGHEST_OF_MINUTES))
    return max((arrivals for arrivals in known if arrivals is not None), default=0.0)
