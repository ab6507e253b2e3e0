from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from octoqueue.errors import DeclarationError
from octoqueue.primitives.cron import Cron, Every, Ticks, cron_from, every_from, next_tick


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return round(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


def shown(ticks: Cron, after_ms: int, count: int) -> list[str]:
    zone = ZoneInfo(ticks.tz)
    found = islice(ticks.after(after_ms), count)
    return [datetime.fromtimestamp(tick / 1000, tz=zone).strftime("%d %H:%M%z") for tick in found]


@pytest.mark.parametrize(
    ("tz", "begin", "expected"),
    [
        (
            "Europe/Berlin",
            ms(2025, 3, 28, 12),
            ["29 02:30+0100", "30 03:00+0200", "31 02:30+0200"],
        ),
        (
            "America/New_York",
            ms(2025, 3, 8, 0),
            ["08 02:30-0500", "09 03:00-0400", "10 02:30-0400"],
        ),
    ],
)
def test_a_time_of_day_that_spring_leaves_out_is_due_right_after_the_gap(
    tz: str, begin: int, expected: list[str]
) -> None:
    assert shown(cron_from("30 2 * * *", tz), begin, 3) == expected


@pytest.mark.parametrize(
    ("tz", "begin", "expected"),
    [
        (
            "Europe/Berlin",
            ms(2025, 10, 24, 12),
            ["25 02:30+0200", "26 02:30+0200", "27 02:30+0100"],
        ),
        (
            "America/New_York",
            ms(2025, 11, 1, 0),
            ["01 01:30-0400", "02 01:30-0400", "03 01:30-0500"],
        ),
    ],
)
def test_a_time_of_day_that_autumn_repeats_is_due_the_first_time(
    tz: str, begin: int, expected: list[str]
) -> None:
    expression = "30 2 * * *" if tz == "Europe/Berlin" else "30 1 * * *"
    assert shown(cron_from(expression, tz), begin, 3) == expected


def test_two_times_of_day_in_one_gap_are_one_tick() -> None:
    found = shown(cron_from("15,45 2 * * *", "Europe/Berlin"), ms(2025, 3, 29, 12), 3)
    assert found == ["30 03:00+0200", "31 02:15+0200", "31 02:45+0200"]


def test_a_rhythm_goes_through_both_passes_of_an_hour_that_comes_twice() -> None:
    found = shown(cron_from("*/30 * * * *", "Europe/Berlin"), ms(2025, 10, 25, 23, 59), 5)
    assert found == [
        "26 02:00+0200", "26 02:30+0200", "26 02:00+0100", "26 02:30+0100", "26 03:00+0100",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (ms(2025, 4, 5, 12), ["06 00:15+1100", "06 04:15+1030", "06 08:15+1030"]),
        (ms(2025, 10, 4, 12), ["05 00:15+1030", "05 04:15+1100", "05 08:15+1100"]),
    ],
)
def test_a_rhythm_survives_a_change_of_half_an_hour(begin: int, expected: list[str]) -> None:
    assert shown(cron_from("15 */4 * * *", "Australia/Lord_Howe"), begin, 3) == expected


def test_the_29th_of_february_comes_in_leap_years() -> None:
    ticks = cron_from("0 0 29 2 *")
    found = [
        datetime.fromtimestamp(tick / 1000, tz=UTC).year
        for tick in islice(ticks.after(ms(2092, 1, 1)), 3)
    ]
    assert found == [2092, 2096, 2104]  # 2100 is none


def test_six_fields_begin_with_seconds() -> None:
    begin = ms(2025, 1, 1)
    found = list(islice(cron_from("*/20 * * * * *").after(begin), 3))
    assert found == [begin + 20_000, begin + 40_000, begin + 60_000]


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 * 2 MON#5/9", "0 0 31 2 *"]
)
def test_an_expression_that_never_matches_is_refused(expression: str) -> None:
    with pytest.raises(DeclarationError, match=r"^cron: "):
        cron_from(expression)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "60 * * * *", "* * * * * * *", "@daily", "x"]
)
def test_an_expression_that_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(DeclarationError, match=r"^cron: .* cannot be read"):
        cron_from(expression)


@pytest.mark.parametrize("tz", ["Europe/Berlni", "", "../etc/passwd", "CET+99", "Europe"])
def test_a_zone_that_does_not_exist_is_refused(tz: str) -> None:
    with pytest.raises(DeclarationError, match=r"^tz: .* is no time zone"):
        cron_from("0 3 * * *", tz)


def test_an_interval_ticks_at_its_multiples_on_every_machine() -> None:
    ticks = every_from(timedelta(seconds=90))
    assert list(islice(ticks.after(90_000), 2)) == [180_000, 270_000]
    assert next_tick(ticks, 179_999) == 180_000
    assert ticks.latest(2, after_ms=0, until_ms=1_000_000) == [900_000, 990_000]
    assert ticks.latest(9, after_ms=899_999, until_ms=1_000_000) == [900_000, 990_000]


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 367 * 86_400])
def test_an_interval_that_is_too_short_or_too_long_is_refused(seconds: float) -> None:
    with pytest.raises(DeclarationError, match=r"^every: "):
        every_from(timedelta(seconds=seconds))


def test_digests_differ_when_ticks_do_and_not_when_only_the_writing_does() -> None:
    assert Cron("0 3 * * MON").digest == Cron(" 0  3 * * mon").digest
    different: list[Ticks] = [
        Cron("0 3 * * *"),
        Cron("0 4 * * *"),
        Cron("0 3 * * *", "Asia/Tokyo"),
        Every(1000),
    ]
    assert len({ticks.digest for ticks in different}) == len(different)
