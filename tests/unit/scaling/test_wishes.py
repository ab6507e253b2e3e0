from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.signals import Presence
from octoqueue.scaling.wishes import (
    MOST_WISHES,
    Lead,
    Wish,
    WishChanges,
    lead_seconds,
    longest_open_seconds,
    wish_changes,
)


def worker(ready_at_ms: int, *, is_draining: bool = False) -> Presence:
    return Presence(
        session="s",
        name="w",
        fleet="executor",
        queues=("executor",),
        slots=1,
        running=0,
        started_at_ms=ready_at_ms,
        ready_at_ms=ready_at_ms,
        said_at_ms=ready_at_ms,
        is_draining=is_draining,
    )


def test_what_is_there_is_no_wish() -> None:
    assert not wish_changes([], wanted=2, workers=[worker(0), worker(0)], now_ms=1_000)


def test_more_than_is_there_is_a_wish() -> None:
    changes = wish_changes([], wanted=3, workers=[worker(0)], now_ms=1_000)
    assert changes == WishChanges(opened=(Wish(3, 1_000),))


def test_a_wish_that_goes_on_is_not_opened_again() -> None:
    assert not wish_changes([Wish(3, 1_000)], wanted=3, workers=[worker(0)], now_ms=9_000)


def test_a_wish_for_more_yet_is_one_of_its_own() -> None:
    changes = wish_changes([Wish(3, 1_000)], wanted=5, workers=[worker(0)], now_ms=9_000)
    assert changes == WishChanges(opened=(Wish(5, 9_000),))


def test_it_came_true_when_the_last_of_them_was_ready() -> None:
    workers = [worker(0), worker(4_000), worker(6_500)]
    changes = wish_changes([Wish(3, 1_000)], wanted=3, workers=workers, now_ms=9_000)
    assert changes == WishChanges(came_true=(Lead(3, 1_000, 5.5),))


def test_a_part_of_what_is_wanted_comes_true_by_itself() -> None:
    wishes = [Wish(2, 1_000), Wish(5, 3_000)]
    changes = wish_changes(wishes, wanted=5, workers=[worker(0), worker(4_000)], now_ms=9_000)
    assert changes == WishChanges(came_true=(Lead(2, 1_000, 3.0),))


def test_what_is_not_wanted_any_more_is_dropped_and_measures_nothing() -> None:
    changes = wish_changes([Wish(3, 1_000)], wanted=1, workers=[worker(0)], now_ms=9_000)
    assert changes == WishChanges(dropped=(Wish(3, 1_000),))


def test_who_wanted_more_has_wanted_less_for_as_long() -> None:
    changes = wish_changes([Wish(5, 1_000)], wanted=3, workers=[worker(0)], now_ms=9_000)
    assert changes == WishChanges(opened=(Wish(3, 1_000),), dropped=(Wish(5, 1_000),))


def test_a_worker_that_drains_is_none() -> None:
    workers = [worker(0), worker(2_000, is_draining=True)]
    changes = wish_changes([Wish(2, 1_000)], wanted=2, workers=workers, now_ms=9_000)
    assert not changes


def test_a_worker_that_was_ready_before_the_wish_counts_from_now() -> None:
    """Others have died meanwhile: when there were enough again, nobody says."""
    changes = wish_changes([Wish(2, 5_000)], wanted=2, workers=[worker(0)] * 2, now_ms=9_000)
    assert changes.came_true == (Lead(2, 5_000, 4.0),)


def test_the_lead_time_is_robust() -> None:
    assert lead_seconds([]) is None
    assert lead_seconds([Lead(1, 0, 30.0)]) == 30
    strange = [Lead(1, 0, 3_600.0)] * 4
    assert lead_seconds([*strange, *([Lead(1, 0, 30.0)] * 5)]) == 30


moments = st.integers(0, 3_600_000)
looks = st.lists(
    st.tuples(st.integers(0, 40), st.lists(moments, max_size=40), moments), max_size=40
)


@given(looks)
def test_laws(history: list[tuple[int, list[int], int]]) -> None:
    """Whatever happens, in whatever order a clock tells it."""
    wishes: dict[int, int] = {}
    for wanted, ready, now in history:
        before = [Wish(*wish) for wish in wishes.items()]
        workers = [worker(at) for at in ready]
        changes = wish_changes(before, wanted=wanted, workers=workers, now_ms=now)
        assert all(lead.seconds >= 0 for lead in changes.came_true)
        ended = [(lead.workers, lead.since_ms) for lead in changes.came_true]
        for workers_wanted, since_ms in [*ended, *changes.dropped]:
            assert wishes.pop(workers_wanted) == since_ms
        for wish in changes.opened:
            assert wish.workers not in wishes
            assert wish.since_ms <= now
            wishes[wish.workers] = wish.since_ms
        assert all(len(ready) < level <= wanted for level in wishes)
        assert (max(wishes, default=0) == wanted) or wanted <= len(ready)
        assert len(wishes) <= MOST_WISHES
        after = [Wish(*wish) for wish in wishes.items()]
        assert longest_open_seconds(after, now) >= 0
        assert not wish_changes(after, wanted=wanted, workers=workers, now_ms=now)


def test_there_are_never_too_many() -> None:
    wishes: list[Wish] = []
    for wanted in range(1, 3 * MOST_WISHES):
        changes = wish_changes(wishes, wanted=wanted, workers=[], now_ms=wanted)
        wishes = [wish for wish in wishes if wish not in changes.dropped] + [*changes.opened]
    assert len(wishes) == MOST_WISHES
    assert wishes[0] == Wish(1, 1)
    assert wishes[-1].workers == 3 * MOST_WISHES - 1
