from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from octoqueue.scaling.policy import FloorWindow
from octoqueue.scaling.schedule import open_floor, why_ambiguous


def window(
    start: str, end: str, *, workers: int = 3, timezone: str = "Europe/Berlin"
) -> FloorWindow:
    return FloorWindow(start=start, end=end, workers=workers, timezone=timezone)


OFFICE = window("0 9 * * 1-5", "0 18 * * 1-5")
NIGHT = window("0 22 * * *", "0 6 * * *")
WEEKEND = window("0 18 * * 5", "0 6 * * 1")


def is_open(floor: FloorWindow, moment: str) -> bool:
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(floor.timezone))
    return open_floor([floor], now_ms=int(at.timestamp() * 1000)) is not None


@pytest.mark.parametrize(
    ("floor", "moment", "wanted"),
    [
        (OFFICE, "2027-01-15 08:59:59", False),
        (OFFICE, "2027-01-15 09:00:00", True),
        (OFFICE, "2027-01-15 17:59:59", True),
        (OFFICE, "2027-01-15 18:00:00", False),
        (OFFICE, "2027-01-16 12:00:00", False),  # Saturday
        (NIGHT, "2027-01-15 23:30:00", True),
        (NIGHT, "2027-01-16 05:59:00", True),
        (NIGHT, "2027-01-16 06:00:00", False),
        (WEEKEND, "2027-01-16 12:00:00", True),
        (WEEKEND, "2027-01-18 05:00:00", True),
        (WEEKEND, "2027-01-18 07:00:00", False),
        (WEEKEND, "2027-01-15 17:00:00", False),
    ],
)
def test_a_window_is_open_from_its_start_to_its_end(
    floor: FloorWindow,
    moment: str,
    wanted: bool,  # noqa: FBT001 - a table of cases
) -> None:
    assert is_open(floor, moment) is wanted


def test_a_start_in_the_hour_that_spring_leaves_out_happens_after_it() -> None:
    early = window("30 2 * * *", "0 8 * * *")
    assert not is_open(early, "2027-03-28 01:59:00")
    assert is_open(early, "2027-03-28 03:00:00"), "02:30 did not happen on this day"


def test_of_several_open_windows_the_largest_counts() -> None:
    noon = int(datetime(2027, 1, 15, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp() * 1000)
    more = window("0 11 * * *", "0 13 * * *", workers=8)
    assert open_floor([OFFICE, more, NIGHT], now_ms=noon) == more
    assert open_floor([], now_ms=noon) is None


@pytest.mark.parametrize(
    "floor",
    [
        OFFICE,
        NIGHT,
        WEEKEND,
        window("0 9,14 * * *", "0 12,18 * * *"),
        window("0 0 25 12 *", "0 0 27 12 *"),
        window("0 0 29 2 *", "0 12 29 2 *"),
    ],
)
def test_windows_that_mean_what_they_say(floor: FloorWindow) -> None:
    assert why_ambiguous(floor) == ""


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (window("0 9 * * *", "0 9 * * *"), "starts and ends at the same moment (Mon 09:00)"),
        (
            window("0 9 * * 6", "0 18 * * 1-5"),
            "lasts from Sat 09:00 to Fri 18:00, as it has more ends than starts",
        ),
        (
            window("0 9 * * 1-5", "0 18 * * *"),
            "lasts from Fri 09:00 to Sun 18:00, as it has more ends than starts",
        ),
        (
            window("0 9 * * *", "0 17,18 * * *"),
            "lasts from Mon 09:00 to Mon 18:00, as it has more ends than starts",
        ),
        (
            window("0 9 * * 1,2", "0 9 * * 2,3"),
            "starts again (Tue 09:00) before it has ended",
        ),
        (
            window("0 9 * * 1-6", "0 18 * * 1-5"),
            "starts again (Mon 09:00) before it has ended",
        ),
        (window("*/5 9 * * *", "0 18 * * *"), "starts again (Mon 09:05) before it has ended"),
    ],
)
def test_weekday_traps_are_seen(floor: FloorWindow, words: str) -> None:
    assert why_ambiguous(floor) == words
