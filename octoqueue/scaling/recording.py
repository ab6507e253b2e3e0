"""Recordings: what a live installation did, as JSON lines.

    {"recording": 1, "queues": ["q"], "every_seconds": 1.0, "starts_at_ms": …}
    {"at_ms": …, "seconds": 1.0, "queue": "q", "arrivals": {"high": 0, "normal": 3, "low": 0},
     "runs": 2, "run_seconds": 1.9, "run_seconds2": 1.81}

Each line tells of the `seconds` before `at_ms`; one in which nothing happened may be left out, but
not the last. `simulator/playback` makes a trace of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from octoqueue.errors import TraceInvalid
from octoqueue.primitives.lane import LANES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER_KEY = "recording"
FORMAT = 1
_LABELS = tuple(lane.label for lane in LANES)


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


def starts_at_ms_from(line: str, *, source: str) -> int:
    """Return when a recording with this first line begins.

    Raises:
        TraceInvalid: it is none.
    """
    head = _object(line, source=source, number=1)
    if head.get(HEADER_KEY) != FORMAT:
        raise TraceInvalid(
            source,
            f"a recording of format {head.get(HEADER_KEY)!r}; this program reads {FORMAT}",
            line=1,
            field=HEADER_KEY,
        )
    return int(_number(head, "starts_at_ms", source=source, number=1))


def recorded_from(line: str, *, source: str, number: int) -> Recorded:
    """Return what a line tells.

    Raises:
        TraceInvalid: it is none; names line and field.
    """
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
