"""What holds for each window of a schedule that is let through, however weekdays are written."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.cron import cron_from
from octoqueue.scaling.policy import FloorWindow
from octoqueue.scaling.schedule import open_floor, why_ambiguous

NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
HOUR_MS = 3_600_000
BEGIN_MS = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) * 1_000
WEEKS_MS = 2 * 7 * 24 * HOUR_MS

weekdays = st.sets(st.integers(0, 6), min_size=1)
hours = st.integers(0, 23)


def window(start: str, end: str) -> FloorWindow:
    return FloorWindow(start=start, end=end, workers=1)


@st.composite
def written(draw: st.DrawFn, days: set[int]) -> str:
    """Return the field of some weekdays as somebody may write it."""
    if len(days) == 7:
        return draw(st.sampled_from(["*", "0-6", "SUN-SAT", "*/1", "1-7"]))
    if days == {0, 2, 4, 6}:
        return draw(st.sampled_from(["*/2", "0-6/2", "0,2,4,6"]))
    ordered = sorted(days)
    is_run = all(second == first + 1 for first, second in pairwise(ordered))
    if is_run and len(days) > 1 and draw(st.booleans()):
        first, last = ordered[0], ordered[-1]
        return draw(st.sampled_from([f"{first}-{last}", f"{NAMES[first]}-{NAMES[last]}"]))
    spelt = [
        [str(day), NAMES[day], NAMES[day].lower(), *(["7"] if not day else [])] for day in days
    ]
    return ",".join(draw(st.permutations([draw(st.sampled_from(words)) for words in spelt])))


@given(data=st.data(), starts=weekdays, ends=weekdays, start=hours, end=hours)
def test_how_weekdays_are_written_changes_nothing(
    data: st.DataObject, starts: set[int], ends: set[int], start: int, end: int
) -> None:
    def told(start_days: str, end_days: str) -> str:
        return why_ambiguous(window(f"0 {start} * * {start_days}", f"0 {end} * * {end_days}"))

    plain = (",".join(map(str, sorted(days))) for days in (starts, ends))
    assert told(data.draw(written(starts)), data.draw(written(ends))) == told(*plain)


@given(starts=weekdays, ends=weekdays, start=hours, end=hours)
def test_a_window_that_is_let_through_opens_at_each_start_and_closes_before_the_next(
    starts: set[int], ends: set[int], start: int, end: int
) -> None:
    floor = window(
        f"0 {start} * * {','.join(map(str, starts))}", f"0 {end} * * {','.join(map(str, ends))}"
    )
    if why_ambiguous(floor):
        return
    end_ms = BEGIN_MS + WEEKS_MS
    begun = cron_from(floor.start).latest(100, after_ms=BEGIN_MS, until_ms=end_ms)
    ended = cron_from(floor.end).latest(100, after_ms=BEGIN_MS, until_ms=end_ms)
    for moment_ms, following_ms in pairwise(begun):
        within = [finish for finish in ended if moment_ms < finish <= following_ms]
        assert len(within) == 1
        for hour_ms in range(moment_ms, following_ms, HOUR_MS):
            assert (open_floor([floor], now_ms=hour_ms) is not None) is (hour_ms < within[0])


@given(days=weekdays, start=hours, end=hours)
def test_a_window_of_the_same_days_is_refused_only_when_its_end_is_not_after_its_start(
    days: set[int], start: int, end: int
) -> None:
    field = ",".join(map(str, days))
    reason = why_ambiguous(window(f"0 {start} * * {field}", f"0 {end} * * {field}"))
    if start < end:
        assert reason == ""
    if start == end:
        assert "same moment" in reason


@given(
    start=hours, end=hours, day=st.integers(1, 28), weekday=st.integers(0, 6), both=st.booleans()
)
def test_either_of_a_day_of_the_month_and_of_the_week_is_enough(
    start: int, end: int, day: int, weekday: int, *, both: bool
) -> None:
    """As KEDA's cron has it; so an end that names only one of them comes too late."""
    days = f"{day} * {weekday}"
    reason = why_ambiguous(window(f"0 {start} {days}", f"0 {end} {days if both else f'{day} * *'}"))
    if both and start < end:
        assert reason == ""
    if not both:
        assert reason
