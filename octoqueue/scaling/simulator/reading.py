"""Reading traces: text into `StepTrace` or `RequestTrace`, by the first line.

    period,count                            requests in each minute; minutes left out had none
    TIMESTAMP,ContextTokens,GeneratedTokens   one request a line, in any order
    {"recording": …}                        what `octoqueue record` wrote

Moments without a zone are UTC. Whatever is wrong is a `TraceInvalid` with file, line and field.
"""

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from octoqueue.errors import TraceInvalid
from octoqueue.scaling.recording import HEADER_KEY
from octoqueue.scaling.simulator.playback import trace_from_recording
from octoqueue.scaling.simulator.tokens import TokenTimes
from octoqueue.scaling.simulator.traces import MINUTE_SECONDS, RequestTrace, StepTrace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from octoqueue.scaling.simulator.traces import Trace

_MINUTE_COLUMNS = ("period", "count")
_REQUEST_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOST_COUNTED = 1e12
"""In a minute, or tokens in a request; what is more is damage, and arithmetic with it fails."""
_LONGEST_MINUTES = 2 * 366 * 1440
_FORMATS = (
    "a trace begins with 'period,count', with 'TIMESTAMP,ContextTokens,GeneratedTokens', or is a "
    "recording of 'octoqueue record'"
)

Row = tuple[int, list[str]]
"""A line's number and its fields."""


def read_trace(
    lines: Iterable[str], *, source: str, tokens: TokenTimes | None = None, lane: int = 1
) -> Trace:
    """Return the trace that some lines write.

    Args:
        lines: of a text file.
        source: its name, for reports and errors.
        tokens: how long a request takes; None: the defaults of `TokenTimes`.
        lane: wire value of the lane of traces that know none.

    Raises:
        TraceInvalid: they write none; names line and field.
    """
    text = iter(lines)
    head_number, first = next(
        ((number, line) for number, line in enumerate(text, start=1) if line.strip()), (0, "")
    )
    if not first:
        raise TraceInvalid(source, f"it is empty; {_FORMATS}")
    first = first.removeprefix("\ufeff")
    if first.lstrip().startswith("{"):
        if f'"{HEADER_KEY}"' not in first:
            raise TraceInvalid(source, f"not the head of a recording; {_FORMATS}", line=head_number)
        return trace_from_recording(first, text, source=source)
    header = [name.strip() for name in next(csv.reader([first]))]
    rows = _rows(text, source=source, head_number=head_number)
    if _same(header, _MINUTE_COLUMNS):
        return _per_minute(rows, source)
    if _same(header, _REQUEST_COLUMNS):
        return _per_request(rows, source, tokens or TokenTimes(), lane)
    raise TraceInvalid(
        source, f"unknown columns {','.join(header)!r}; {_FORMATS}", line=head_number
    )


def _same(header: list[str], columns: tuple[str, ...]) -> bool:
    return [name.lower() for name in header] == [name.lower() for name in columns]


def _rows(text: Iterator[str], *, source: str, head_number: int) -> Iterator[Row]:
    reader = csv.reader(text)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num + head_number, fields
    except csv.Error as error:
        raise TraceInvalid(source, str(error), line=reader.line_num + head_number) from None


def _per_minute(rows: Iterator[Row], source: str) -> StepTrace:
    minutes: dict[int, float] = {}
    origin = 0.0
    for line, fields in rows:
        _require_fields(fields, _MINUTE_COLUMNS, source, line)
        at_seconds = _moment(fields[0], source=source, line=line, field="period")
        if not minutes:
            origin = at_seconds
        minute, rest = divmod(at_seconds - origin, MINUTE_SECONDS)
        if rest:
            raise TraceInvalid(
                source,
                f"{fields[0]!r} is not a whole number of minutes after the first line",
                line=line,
                field="period",
            )
        if int(minute) in minutes:
            raise TraceInvalid(source, f"{fields[0]!r} is there twice", line=line, field="period")
        minutes[int(minute)] = _count(fields[1], source=source, line=line, field="count")
        if abs(minute) > _LONGEST_MINUTES:
            raise TraceInvalid(
                source, "more than two years from the first line", line=line, field="period"
            )
    if not minutes:
        raise TraceInvalid(source, "it has a head and no lines")
    first, last = min(minutes), max(minutes)
    counts = np.zeros(last - first + 1)
    for minute_of, count in minutes.items():
        counts[minute_of - first] = count
    return StepTrace(
        name=source,
        starts_at_ms=round((origin + first * MINUTE_SECONDS) * 1000),
        step_seconds=MINUTE_SECONDS,
        messages=counts,
    )


def _per_request(rows: Iterator[Row], source: str, tokens: TokenTimes, lane: int) -> RequestTrace:
    moments: list[float] = []
    services: list[float] = []
    for line, fields in rows:
        _require_fields(fields, _REQUEST_COLUMNS, source, line)
        moments.append(_moment(fields[0], source=source, line=line, field="TIMESTAMP"))
        context, generated = (
            _count(text, source=source, line=line, field=field)
            for text, field in zip(fields[1:], _REQUEST_COLUMNS[1:], strict=True)
        )
        services.append(tokens.seconds(context=int(context), generated=int(generated)))
    if not moments:
        raise TraceInvalid(source, "it has a head and no lines")
    order = np.argsort(np.array(moments), kind="stable")
    at = np.array(moments)[order]
    begin = math.floor(at[0] / MINUTE_SECONDS) * MINUTE_SECONDS
    length = (math.floor((at[-1] - begin) / MINUTE_SECONDS) + 1) * MINUTE_SECONDS
    if length > _LONGEST_MINUTES * MINUTE_SECONDS:
        raise TraceInvalid(source, "its moments lie more than two years apart", field="TIMESTAMP")
    return RequestTrace(
        name=source,
        starts_at_ms=round(begin * 1000),
        duration_seconds=length,
        arrived_seconds=at - begin,
        service_seconds=np.array(services)[order],
        lanes=np.full(len(at), lane, dtype=np.int64),
    )


def _require_fields(fields: list[str], columns: tuple[str, ...], source: str, line: int) -> None:
    if len(fields) != len(columns):
        raise TraceInvalid(
            source, f"{len(fields)} fields instead of {','.join(columns)}", line=line
        )


def _moment(text: str, *, source: str, line: int, field: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TraceInvalid(
            source, f"{text!r} is no moment like 1998-04-30 21:30:00", line=line, field=field
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _count(text: str, *, source: str, line: int, field: str) -> float:
    try:
        count = float(text)
    except ValueError:
        raise TraceInvalid(source, f"{text!r} is no number", line=line, field=field) from None
    if not (math.isfinite(count) and count >= 0):
        raise TraceInvalid(source, f"{text!r} must be 0 or more", line=line, field=field)
    if count > MOST_COUNTED:
        raise TraceInvalid(
            source, f"{text!r} is more than {MOST_COUNTED:.0f}", line=line, field=field
        )
    return count
