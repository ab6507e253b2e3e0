"""Ticks of cron expressions, against a clock on the wall that is looked at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import DeclarationError
from octoqueue.primitives.cron import Cron, Every, cron_from, next_tick

MINUTE_MS, DAY_MS = 60_000, 86_400_000
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
CHANGES = [
    datetime(2025, 3, 30, 1, tzinfo=UTC),  # Berlin, forward
    datetime(2025, 10, 26, 1, tzinfo=UTC),  # Berlin, back
    datetime(2025, 3, 9, 7, tzinfo=UTC),  # New York, forward
    datetime(2025, 11, 2, 6, tzinfo=UTC),  # New York, back
    datetime(2025, 10, 4, 15, 30, tzinfo=UTC),  # Lord Howe, half an hour forward
    datetime(2025, 4, 5, 15, tzinfo=UTC),  # Lord Howe, half an hour back
    datetime(2024, 2, 29, 12, tzinfo=UTC),
]


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def wall(moment_ms: int, tz: str) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, tz=ZoneInfo(tz))


moments = st.builds(
    lambda change, minutes: ms(change) + minutes * MINUTE_MS,
    st.sampled_from(CHANGES),
    st.integers(-1_500, 300),
)
steps = st.integers(1, 70).map(lambda step: "*" if step == 1 else f"*/{step}")


def listed(most: int) -> st.SearchStrategy[str]:
    numbers = st.lists(st.integers(0, most), min_size=1, max_size=3, unique=True)
    return numbers.map(lambda found: ",".join(map(str, sorted(found))))


def values(field: str, most: int) -> set[int]:
    if field == "*":
        return set(range(most + 1))
    if field.startswith("*/"):
        return set(range(0, most + 1, int(field[2:])))
    return {int(number) for number in field.split(",")}


rhythms = st.one_of(
    st.tuples(steps, listed(23)), st.tuples(listed(59), steps), st.tuples(steps, steps)
)
times_of_day = st.tuples(listed(59), listed(23))


@given(fields=rhythms, tz=st.sampled_from(ZONES), begin=moments)
def test_a_rhythm_is_due_whenever_the_clock_on_the_wall_shows_it(
    fields: tuple[str, str], tz: str, begin: int
) -> None:
    minutes, hours = values(fields[0], 59), values(fields[1], 23)
    until = begin + DAY_MS
    shown = ((tick, wall(tick, tz)) for tick in range(begin + MINUTE_MS, until + 1, MINUTE_MS))
    expected = [tick for tick, at in shown if at.minute in minutes and at.hour in hours]
    ticks = cron_from(f"{fields[0]} {fields[1]} * * *", tz).after(begin)
    assert list(takewhile(lambda tick: tick <= until, ticks)) == expected


@given(fields=times_of_day, tz=st.sampled_from(ZONES), begin=moments)
def test_a_time_of_day_comes_once_a_day_also_when_the_clock_skips_or_repeats_it(
    fields: tuple[str, str], tz: str, begin: int
) -> None:
    first = wall(begin, tz).replace(hour=0, minute=0, fold=0) - timedelta(days=1)
    expected: set[int] = set()
    for day in range(4):
        date = (first + timedelta(days=day)).date()
        for hour in values(fields[1], 23):
            for minute in values(fields[0], 59):
                at = datetime(date.year, date.month, date.day, hour, minute, tzinfo=ZoneInfo(tz))
                tick = ms(at)
                if wall(tick, tz).replace(tzinfo=None) != at.replace(tzinfo=None):
                    while wall(tick - MINUTE_MS, tz).utcoffset() == wall(tick, tz).utcoffset():
                        tick -= MINUTE_MS
                expected.add(tick)
    until = begin + DAY_MS
    ticks = cron_from(f"{fields[0]} {fields[1]} * * *", tz).after(begin)
    found = list(takewhile(lambda tick: tick <= until, ticks))
    assert found == sorted(tick for tick in expected if begin < tick <= until)


expressions = st.sampled_from(
    [
        "* * * * *", "*/7 * * * *", "0 3 * * *", "30 2 * * *", "0,30 1,2,3 * * *", "0 */5 * * *",
        "*/20 * * * * *", "0 0 29 2 *", "0 0 L * *", "0 9 LW * *", "15 10 * * MON#2", "0 0 1 1 *",
        "* 2 * * SUN", "59 23 31 12 *", "0 12 * * MON-FRI",
    ]
)  # fmt: skip
ticking = st.one_of(
    st.builds(Cron, expressions, st.sampled_from(ZONES)),
    st.integers(1, 366 * 86_400).map(lambda seconds: Every(seconds * 1000)),
)


@given(ticks=ticking, begin=moments, extra_ms=st.integers(0, 59_999))
def test_ticks_increase_strictly_and_none_depends_on_where_one_began_to_look(
    ticks: Cron | Every, begin: int, extra_ms: int
) -> None:
    found = list(islice(ticks.after(begin + extra_ms), 12))
    assert found[0] > begin + extra_ms
    assert all(earlier < later for earlier, later in pairwise(found))
    for earlier, later in pairwise(found):
        assert next_tick(ticks, earlier) == next_tick(ticks, later - 1) == later


@given(ticks=ticking, begin=moments, count=st.integers(1, 20), days=st.integers(0, 2))
def test_the_latest_ticks_are_the_end_of_all_ticks(
    ticks: Cron | Every, begin: int, count: int, days: int
) -> None:
    until = begin + days * DAY_MS // 8
    everything = list(takewhile(lambda tick: tick <= until, ticks.after(begin)))
    assert ticks.latest(count, after_ms=begin, until_ms=until) == everything[-count:]


@given(st.text(max_size=30) | st.text("0123456789*/-,#LW? MONjan", max_size=30), st.text())
def test_an_expression_is_read_or_refused(expression: str, tz: str) -> None:
    for zone in ("Europe/Berlin", tz):
        refusal = ""
        try:
            assert next_tick(cron_from(expression, zone), ms(CHANGES[0])) is not None
        except DeclarationError as refused:
            refusal = str(refused)
        assert not refusal or refusal.startswith(("cron: ", "tz: "))
