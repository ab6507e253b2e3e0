"""Playing back: the trace that a recording holds.

Arrivals of a line are put at random moments of its time, always the same ones: what happened within
it is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from octoqueue.errors import TraceInvalid
from octoqueue.primitives.lane import LANES
from octoqueue.scaling.recording import Recorded, recorded_from, starts_at_ms_from
from octoqueue.scaling.simulator.traces import RequestTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_ARRIVALS = 50_000_000
_LONGEST_SECONDS = 2 * 366 * 86_400.0


def trace_from_recording(head: str, lines: Iterable[str], *, source: str) -> RequestTrace:
    """Return the trace that a recording holds.

    Raises:
        TraceInvalid: it is none; names line and field.
    """
    begin_ms = starts_at_ms_from(head, source=source)
    recorded = [
        recorded_from(line, source=source, number=number)
        for number, line in enumerate(lines, start=2)
        if line.strip()
    ]
    begin_ms = min([begin_ms, *(each.at_ms - round(each.seconds * 1000) for each in recorded)])
    end_ms = max([begin_ms, *(each.at_ms for each in recorded)])
    if end_ms == begin_ms:
        raise TraceInvalid(source, "it holds no time: record for longer")
    if end_ms - begin_ms > _LONGEST_SECONDS * 1000:
        raise TraceInvalid(source, "it is longer than two years", field="at_ms")
    arrivals = sum(sum(each.arrivals) for each in recorded)
    if arrivals > _MOST_ARRIVALS:
        raise TraceInvalid(
            source,
            f"{arrivals:.3g} messages are more than the {_MOST_ARRIVALS} that are simulated one by "
            "one",
            field="arrivals",
        )
    moments, lanes = _placed(recorded, begin_ms)
    runs = sum(each.runs for each in recorded)
    mean = sum(each.run_seconds for each in recorded) / runs if runs else 0.0
    second = sum(each.run_seconds2 for each in recorded) / runs if runs else 0.0
    order = np.argsort(moments, kind="stable")
    return RequestTrace(
        name=source,
        starts_at_ms=begin_ms,
        duration_seconds=(end_ms - begin_ms) / 1000,
        arrived_seconds=moments[order],
        lanes=lanes[order],
        mean_service_seconds=mean if mean > 0 else None,
        squared_variation=max(second / mean**2 - 1, 0.0) if mean > 0 else None,
    )


def _placed(
    recorded: Sequence[Recorded], begin_ms: int
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.int64]]]:
    starts = np.array([(each.at_ms - begin_ms) / 1000 - each.seconds for each in recorded])
    lengths = np.array([each.seconds for each in recorded])
    counts = np.array([each.arrivals for each in recorded], dtype=np.int64).reshape(-1, len(LANES))
    moments: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    lanes: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    generator = np.random.default_rng(0)
    for lane in range(len(LANES)):
        lines = np.repeat(np.arange(len(recorded)), counts[:, lane])
        moments.append(starts[lines] + generator.random(len(lines)) * lengths[lines])
        lanes.append(np.full(len(lines), lane, dtype=np.int64))
    return np.concatenate(moments), np.concatenate(lanes)
