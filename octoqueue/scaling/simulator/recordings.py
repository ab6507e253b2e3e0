"""Recordings: what a live installation did, as JSON lines.

    {"recording": 1, "queues": ["q"], "every_seconds": 1.0, "starts_at_ms": …}
    {"at_ms": …, "seconds": 1.0, "queue": "q", "arrivals": {"high": 0, "normal": 3, "low": 0},
     "runs": 2, "run_seconds": 1.9, "run_seconds2": 1.81}

Each line tells of the `seconds` before `at_ms`; a line in which nothing happened may be left out.
Arrivals of a line are put back at random moments of its time: what is within it is not known.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from octoqueue.errors import TraceInvalid
from octoqueue.primitives.lane import LANES
from octoqueue.scaling.simulator.traces import RequestTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HEADER_KEY = "recording"
FORMAT = 1
_LABELS = tuple(lane.label for lane in LANES)
_LONGEST_SECONDS = 2 * 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What happened in one queue in some seconds."""

    queue: str
    at_ms: int
    """The end of that time."""
    seconds: float
    arrivals: tuple[int, ...]
    """A lane, by its wire value."""
    runs: int = 0
    """Attempts that ended."""
    run_seconds: float = 0.0
    run_seconds2: float = 0.0
    """Squares of their running times, added up."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing happened."""
        return not self.runs and not any(self.arrivals)


def head_line(queues: Sequence[str], *, every_seconds: float, starts_at_ms: int) -> str:
    """Return the first line of a recording."""
    return json.dumps(
        {
            HEADER_KEY: FORMAT,
            "queues": list(queues),
            "every_seconds": every_seconds,
            "starts_at_ms": starts_at_ms,
        }
    )


def line_from(recorded: Recorded) -> str:
    """Return one line of a recording."""
    return json.dumps(
        {
            "at_ms": recorded.at_ms,
            "seconds": round(recorded.seconds, 3),
            "queue": recorded.queue,
            "arrivals": dict(zip(_LABELS, recorded.arrivals, strict=True)),
            "runs": recorded.runs,
            "run_seconds": round(recorded.run_seconds, 6),
            "run_seconds2": round(recorded.run_seconds2, 6),
        }
    )


def trace_from_recording(head: str, lines: Iterable[str], *, source: str) -> RequestTrace:
    """Return the trace that a recording holds.

    Raises:
        TraceInvalid: it is none; names line and field.
    """
    begin_ms = _head(head, source)
    recorded = [
        _recorded(line, source=source, number=number)
        for number, line in enumerate(lines, start=2)
        if line.strip()
    ]
    begin_ms = min([begin_ms, *(each.at_ms - round(each.seconds * 1000) for each in recorded)])
    end_ms = max([begin_ms, *(each.at_ms for each in recorded)])
    if end_ms == begin_ms:
        raise TraceInvalid(source, "it holds no time: record for longer")
    if end_ms - begin_ms > _LONGEST_SECONDS * 1000:
        raise TraceInvalid(source, "it is longer than two years", field="at_ms")
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


def _head(line: str, source: str) -> int:
    head = _object(line, source=source, number=1)
    if head.get(HEADER_KEY) != FORMAT:
        raise TraceInvalid(
            source,
            f"a recording of format {head.get(HEADER_KEY)!r}; this program reads {FORMAT}",
            line=1,
            field=HEADER_KEY,
        )
    return int(_number(head, "starts_at_ms", source=source, number=1))


def _recorded(line: str, *, source: str, number: int) -> Recorded:
    fields = _object(line, source=source, number=number)
    arrivals = fields.get("arrivals")
    if not isinstance(arrivals, dict):
        raise TraceInvalid(source, "must be counts a lane", line=number, field="arrivals")
    by_lane = cast("dict[str, object]", arrivals)
    unknown = sorted(set(by_lane) - set(_LABELS))
    if unknown:
        raise TraceInvalid(
            source,
            f"no lane {unknown[0]!r}; there are {', '.join(_LABELS)}",
            line=number,
            field="arrivals",
        )
    seconds = _number(fields, "seconds", source=source, number=number)
    if seconds <= 0:
        raise TraceInvalid(source, "must be above 0", line=number, field="seconds")
    return Recorded(
        queue=str(fields.get("queue", "")),
        at_ms=int(_number(fields, "at_ms", source=source, number=number)),
        seconds=seconds,
        arrivals=tuple(
            int(_number(by_lane, label, source=source, number=number, default=0))
            for label in _LABELS
        ),
        runs=int(_number(fields, "runs", source=source, number=number, default=0)),
        run_seconds=_number(fields, "run_seconds", source=source, number=number, default=0),
        run_seconds2=_number(fields, "run_seconds2", source=source, number=number, default=0),
    )


def _object(line: str, *, source: str, number: int) -> dict[str, object]:
    try:
        value: object = json.loads(line)
    except ValueError as error:
        raise TraceInvalid(source, f"no JSON: {error}", line=number) from None
    if not isinstance(value, dict):
        raise TraceInvalid(source, "no JSON object", line=number)
    return cast("dict[str, object]", value)


def _number(
    fields: Mapping[str, object],
    field: str,
    *,
    source: str,
    number: int,
    default: float | None = None,
) -> float:
    value = fields.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TraceInvalid(source, f"{value!r} is no number", line=number, field=field)
    if not (math.isfinite(value) and value >= 0):
        raise TraceInvalid(source, f"{value!r} must be 0 or more", line=number, field=field)
    return float(value)
