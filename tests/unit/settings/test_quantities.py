from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.settings.quantities import format_duration, format_size, parse_duration, parse_size

CENTURY = timedelta(days=36_500)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10s", timedelta(seconds=10)),
        ("500ms", timedelta(milliseconds=500)),
        ("250us", timedelta(microseconds=250)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
        ("2d", timedelta(days=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1h 30m", timedelta(minutes=90)),
        ("1.5s", timedelta(milliseconds=1500)),
        (" 10 s ", timedelta(seconds=10)),
        ("PT10S", timedelta(seconds=10)),
        ("P1DT2H", timedelta(hours=26)),
        (10, timedelta(seconds=10)),
        (0.25, timedelta(milliseconds=250)),
        ("10", timedelta(seconds=10)),
        (0, timedelta(0)),
        (timedelta(seconds=3), timedelta(seconds=3)),
    ],
    ids=repr,
)
def test_a_duration_is_what_was_written(written: object, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "10 parsecs",
        "s",
        "1s2",
        "10S",
        "P",
        "PT",
        "-P1D",
        "nan",
        "inf",
        "1e999999999",
        "1e-999999999s",
        float("nan"),
        float("inf"),
        10**30,
        True,
        None,
        ["10s"],
        {"seconds": 10},
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is no duration; write 10s"):
        parse_duration(written)


@pytest.mark.parametrize("written", [-1, "-1", -0.5, timedelta(seconds=-1)], ids=repr)
def test_a_negative_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        parse_duration(written)


def test_a_duration_beyond_a_century_is_refused() -> None:
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration("36501d")


@given(st.timedeltas(min_value=timedelta(0), max_value=CENTURY))
def test_a_formatted_duration_reads_back_as_itself(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert timedelta(0) <= parse_duration(text) <= CENTURY
    except ValueError as error:
        assert "must" in str(error) or "is no duration" in str(error)  # noqa: PT017 - both may happen


@pytest.mark.parametrize(
    ("duration", "written"),
    [
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(days=1), "1d"),
        (timedelta(0), "0s"),
    ],
    ids=repr,
)
def test_a_duration_is_formatted_in_its_largest_whole_unit(
    duration: timedelta, written: str
) -> None:
    assert format_duration(duration) == written


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        ("32KiB", 32 * 1024),
        ("1MiB", 1024**2),
        ("2 GiB", 2 * 1024**3),
        ("1mib", 1024**2),
        ("1KB", 1000),
        ("1.5KiB", 1536),
        ("0.1KB", 100),
        ("7B", 7),
        ("7", 7),
        (7, 7),
    ],
    ids=repr,
)
def test_a_size_is_what_was_written(written: object, size_bytes: int) -> None:
    assert parse_size(written) == size_bytes


@pytest.mark.parametrize(
    "written", ["", "big", "1XiB", "KiB", "-1", -1, 1.5e300, True, None, [1]], ids=repr
)
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is no size; write 32KiB"):
        parse_size(written)


def test_half_a_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("0.5B")


@given(st.integers(min_value=0, max_value=2**60))
def test_a_formatted_size_reads_back_as_itself(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes
