"""Reading traces: three formats, and refusals that name file, line and field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import TraceInvalid
from octoqueue.scaling.recording import Recorded, head_line, line_from
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.tokens import TokenTimes
from octoqueue.scaling.simulator.traces import (
    RequestTrace,
    StepTrace,
    Trace,
    messages_in,
    service_for,
)


def read(text: str, tokens: TokenTimes | None = None) -> Trace:
    return read_trace(text.splitlines(keepends=True), source="week.csv", tokens=tokens)


def test_counts_a_minute_are_steps_of_a_minute() -> None:
    trace = read("period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:31:00,11\n")
    assert isinstance(trace, StepTrace)
    assert trace.messages.tolist() == [2, 11]
    assert trace.step_seconds == 60
    assert trace.starts_at_ms == 893_971_800_000
    assert trace.name == "week.csv"


def test_a_mark_of_byte_order_at_the_beginning_is_no_part_of_a_trace() -> None:
    assert messages_in(read("\ufeffperiod,count\n1998-04-30 21:30:00,2\n")) == 2
    recording = (
        '\ufeff{"recording": 1, "starts_at_ms": 0}\n{"at_ms": 1, "seconds": 1, "arrivals": {}}'
    )
    assert messages_in(read(recording)) == 0


def test_minutes_that_are_left_out_had_none_and_any_order_will_do() -> None:
    trace = read("period,count\r\n2026-01-01 00:03:00,5\r\n\r\n2026-01-01T01:00:00+01:00,2\r\n")
    assert isinstance(trace, StepTrace)
    assert trace.messages.tolist() == [2, 0, 0, 5]


def test_single_requests_run_as_long_as_their_tokens_take() -> None:
    tokens = TokenTimes(
        fixed_seconds=1, seconds_per_context_token=0.001, seconds_per_generated_token=0.1
    )
    trace = read(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:18:03.9799600,1000,10\n"
        "2023-11-16 18:17:04.0319600,3000,8\n",
        tokens,
    )
    assert isinstance(trace, RequestTrace)
    assert trace.arrived_seconds.tolist() == pytest.approx([4.03196, 63.97996])
    assert trace.service_seconds is not None
    assert trace.service_seconds.tolist() == pytest.approx([4.8, 3.0])
    assert trace.duration_seconds == 120
    assert trace.in_steps().messages.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "week.csv: it is empty"),
        ("a,b\n1,2\n", "line 1: unknown columns 'a,b'; a trace begins with 'period,count'"),
        ("period,count\n", "it has a head and no lines"),
        ("period,count\nyesterday,2\n", "week.csv, line 2, period: 'yesterday' is no moment"),
        (
            "period,count\n2026-01-01,2\n2026-01-01,3\n",
            "line 3, period: '2026-01-01' is there twice",
        ),
        ("\nperiod,count\n2026-01-01,2\n2026-01-01 00:00:30,3\n", "line 4, period"),
        ("period,count\n2026-01-01,two\n", "line 2, count: 'two' is no number"),
        ("period,count\n2026-01-01,-1\n", "line 2, count: '-1' must be 0 or more"),
        ("period,count\n2026-01-01,nan\n", "line 2, count: 'nan' must be 0 or more"),
        ("period,count\n2026-01-01,1e13\n", "line 2, count: '1e13' is more than 1000000000000"),
        (
            (
                '{"recording": 1, "starts_at_ms": 0}\n'
                '{"at_ms": 1000, "seconds": 1, "arrivals": {"normal": 1e300}}\n'
            ),
            "messages are more than the 50000000 that are simulated one by one",
        ),
        ("period,count\n2026-01-01,1,2\n", "line 2: 3 fields instead of period,count"),
        ("period,count\n2026-01-01,1\n2036-01-01,1\n", "line 3, period: more than two years"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2026-01-01,1,x\n",
            "line 2, GeneratedTokens: 'x' is no number",
        ),
        ('{"hello": 1}\n', "line 1: not the head of a recording"),
        ('{"recording": 7}\n', "line 1, recording: a recording of format 7"),
        ('{"recording": 1, "starts_at_ms": 0}\n', "it holds no time"),
        ('{"recording": 1, "starts_at_ms": 0}\n{"at_ms"\n', "line 2: no JSON"),
        (
            '{"recording": 1, "starts_at_ms": 0}\n{"at_ms": 1000, "seconds": 1}\n',
            "line 2, arrivals: must be counts a lane",
        ),
        (
            (
                '{"recording": 1, "starts_at_ms": 0}\n'
                '{"at_ms": 1000, "seconds": 1, "arrivals": {"urgent": 1}}\n'
            ),
            "line 2, arrivals: no lane 'urgent'; there are high, normal, low",
        ),
        (
            '{"recording": 1, "starts_at_ms": 0}\n{"at_ms": 1000, "seconds": 0, "arrivals": {}}\n',
            "line 2, seconds: must be above 0",
        ),
    ],
)
def test_what_is_no_trace_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(TraceInvalid) as refusal:
        read(text)
    assert said in str(refusal.value)
    assert refusal.value.source == "week.csv"


def test_a_recording_is_read_back_as_it_was_written() -> None:
    lines = [
        head_line(["q"], every_seconds=1, starts_at_ms=10_000),
        line_from(
            Recorded(
                queue="q",
                at_ms=11_000,
                seconds=1,
                arrivals=(1, 2, 0),
                runs=2,
                run_seconds=3.0,
                run_seconds2=5.0,
            )
        ),
        line_from(Recorded(queue="q", at_ms=13_000, seconds=1, arrivals=(0, 0, 1))),
    ]
    trace = read("\n".join(lines) + "\n")
    assert isinstance(trace, RequestTrace)
    assert trace.starts_at_ms == 10_000
    assert trace.duration_seconds == 3
    assert trace.lanes is not None
    assert sorted(trace.lanes.tolist()) == [0, 1, 1, 2]
    assert trace.lanes.tolist()[-1] == 2
    assert np.all(trace.arrived_seconds[:3] < 1)
    assert 2 <= trace.arrived_seconds[3] < 3
    # Runs of 1 and 2 s: their mean is 1.5 s, their variance 0.25.
    assert trace.mean_service_seconds == pytest.approx(1.5)
    assert trace.squared_variation == pytest.approx(0.25 / 1.5**2)


counts = st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any)


@given(counts=counts, load=st.floats(0.1, 100), service=st.floats(0.01, 100))
def test_a_scaled_trace_keeps_so_many_busy(counts: list[int], load: float, service: float) -> None:
    trace = StepTrace(
        name="t", starts_at_ms=0, step_seconds=60, messages=np.array(counts, dtype=np.float64)
    )
    scaled = trace.scaled_to(load, service_seconds=service)
    work = scaled.work_seconds(service).sum() / scaled.duration_seconds
    assert work == pytest.approx(load)
    # Or its messages are left as they are, and their service time makes the load.
    stretched = trace.work_seconds(service_for(trace, load=load)).sum() / trace.duration_seconds
    assert stretched == pytest.approx(load)


def test_requests_are_scaled_by_their_service_times_or_by_their_number() -> None:
    at = np.linspace(0, 999, 2000)
    known = RequestTrace(
        name="r",
        starts_at_ms=0,
        duration_seconds=1000,
        arrived_seconds=at,
        service_seconds=np.full(2000, 2.0),
    )
    scaled = known.scaled_to(8, service_seconds=1)
    assert scaled.service_seconds is not None
    assert scaled.service_seconds.sum() == pytest.approx(8000)
    unknown = RequestTrace(
        name="r",
        starts_at_ms=0,
        duration_seconds=1000,
        arrived_seconds=at,
        lanes=np.zeros(2000, dtype=np.int64),
    )
    for load in (0.5, 7.3):
        more = unknown.scaled_to(load, service_seconds=1)
        assert messages_in(more) == pytest.approx(load * 1000, rel=0.1)
        assert more.lanes is not None
        assert len(more.lanes) == len(more.arrived_seconds)
        assert np.all(np.diff(more.arrived_seconds) >= 0)


def test_a_part_of_a_trace_begins_at_its_own_moment() -> None:
    steps = StepTrace(
        name="t", starts_at_ms=1000, step_seconds=60, messages=np.array([1.0, 2.0, 3.0])
    )
    assert steps.between(60, 180).messages.tolist() == [2, 3]
    assert steps.between(60, 180).starts_at_ms == 61_000
    requests = RequestTrace(
        name="r", starts_at_ms=1000, duration_seconds=30, arrived_seconds=np.array([1.0, 11, 29])
    )
    part = requests.between(10, 30)
    assert part.arrived_seconds.tolist() == [1, 19]
    assert (part.duration_seconds, part.starts_at_ms) == (20, 11_000)
