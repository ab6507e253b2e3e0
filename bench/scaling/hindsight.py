"""The trailing maximum, tuned in hindsight: thousands of runs of the fluid model at once.

For a rule that looks at arrivals only, with one start-up time and workers that leave at once, the
fluid model has a closed form: ready is the least that was wanted within the start-up time, and the
backlog is what arrived less what was done, above its least so far. The best of the grid is run in
the simulator again, and both must agree.

Weakness: a grid, not a continuum. Twice as fine a grid saves it less than 0.5 % of its hours.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.scaling.curves import Point
from octoqueue.scaling.simulator.rules import minute_loads

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.traces import Floats, StepTrace

SYNC_SECONDS: Final = 15
_SYNCS: Final = 60 // SYNC_SECONDS
_NOTHING: Final = 1e-9
_MINUTES: Final = (3, 4, 6, 8, 10, 12, 15, 20, 30)
_HEADROOM: Final = (1.0, 1.02, 1.04, 1.06, 1.08, 1.1, 1.12, 1.15, 1.2, 1.25)
_SPARE: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


class Tuned(NamedTuple):
    """One choice of parameters, and what it reaches."""

    minutes: int
    headroom: float
    spare_workers: float
    point: Point


def trailing_maxima(
    trace: StepTrace, *, service_seconds: float, start_up_seconds: float, wait_seconds: float
) -> list[Tuned]:
    """Return what every choice of the grid reaches."""
    loads = minute_loads(trace, service_seconds=service_seconds)
    seen = _last_minutes(loads)
    clairvoyant = float(np.ceil(loads + 1 - _NOTHING).sum())
    found: list[Tuned] = []
    for minutes in _MINUTES:
        largest = _largest_of_last(seen, (minutes - 1) * _SYNCS)
        for headroom, spare in product(_HEADROOM, _SPARE):
            wanted = np.maximum(np.ceil(largest * headroom + spare - _NOTHING), 1.0)
            met = _met(loads, wanted, start_up_seconds, wait_seconds)
            point = Point(met, float(wanted.sum()) / _SYNCS / clairvoyant)
            found.append(Tuned(minutes, headroom, spare, point))
    return found


def static_points(
    trace: StepTrace, sizes: tuple[int, ...], *, service_seconds: float, wait_seconds: float
) -> list[Point]:
    """Return what fleets reach that stay as they are."""
    loads = minute_loads(trace, service_seconds=service_seconds)
    clairvoyant = float(np.ceil(loads + 1 - _NOTHING).sum())
    points: list[Point] = []
    for size in sizes:
        wanted = np.full(len(loads) * _SYNCS, float(size))
        met = _met(loads, wanted, 0.0, wait_seconds)
        points.append(Point(met, size * len(loads) / clairvoyant))
    return points


def _last_minutes(loads: Floats) -> Floats:
    """Return the load of the last 60 s at each sync; before the trace it is as in its beginning."""
    work = np.concatenate(([0.0], np.cumsum(np.repeat(loads / _SYNCS, _SYNCS))))
    now = np.arange(len(loads) * _SYNCS)
    before = np.maximum(now - _SYNCS, 0)
    missing = (_SYNCS - (now - before)) / _SYNCS
    last: Floats = work[now] - work[before] + missing * loads[0]
    return last


def _largest_of_last(values: Floats, syncs: int) -> Floats:
    padded = np.concatenate((np.full(syncs, values[0]), values))
    largest: Floats = sliding_window_view(padded, syncs + 1).max(axis=1)
    return largest


def _met(loads: Floats, wanted: Floats, start_up_seconds: float, wait_seconds: float) -> float:
    ready = -_largest_of_last(-wanted, round(start_up_seconds / SYNC_SECONDS))
    arrived = np.concatenate(([0.0], np.cumsum(np.repeat(loads, _SYNCS)) * SYNC_SECONDS))
    possible = np.concatenate(([0.0], np.cumsum(ready) * SYNC_SECONDS))
    ahead = arrived - possible
    backlog = ahead - np.minimum(np.minimum.accumulate(ahead), 0.0)
    following = np.append(ready, ready[-1])
    is_late = backlog > following * wait_seconds + _NOTHING
    starts, ends = is_late[:-1].reshape(-1, _SYNCS), is_late[1:].reshape(-1, _SYNCS)
    return 1 - float((starts.any(axis=1) | ends.any(axis=1)).mean())
