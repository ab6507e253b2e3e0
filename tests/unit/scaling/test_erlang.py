from __future__ import annotations

import heapq
import math
import random
from collections import deque
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest

from octoqueue.scaling.erlang import (
    MOST_SLOTS,
    Line,
    WaitGoal,
    Work,
    erlang_b,
    erlang_c,
    least_slots,
    tail_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Service = tuple[float, "Callable[[random.Random], float]"]


def alone(offered: float) -> tuple[Line, ...]:
    return (Line(share=1.0, higher=0.0, through=offered),)


@pytest.mark.parametrize(
    ("slots", "offered", "blocked"),
    [(10, 3.09, 0.001), (20, 12.03, 0.01), (50, 37.90, 0.01), (100, 87.97, 0.02), (5, 2.881, 0.1)],
)
def test_erlang_b_is_that_of_the_published_tables(
    slots: int, offered: float, blocked: float
) -> None:
    assert erlang_b(slots, offered) == pytest.approx(blocked, rel=0.01)


@pytest.mark.parametrize(
    ("slots", "offered", "waiting"),
    [
        (1, 0.5, 0.5),  # one slot: the load itself
        (2, 1.0, 1 / 3),
        (3, 2.0, 4 / 9),
        (10, 8.0, 0.4092),
        (14, 10.0, 0.1741),  # call centre example: 10 erlangs, 14 agents
    ],
)
def test_erlang_c_is_that_of_textbooks(slots: int, offered: float, waiting: float) -> None:
    assert erlang_c(slots, offered) == pytest.approx(waiting, abs=5e-5)


def test_a_call_centre_of_ten_erlangs_answers_89_per_cent_in_20_s_with_14_agents() -> None:
    # 200 calls an hour of 180 s: the usual worked example, 88.8 %.
    work = Work(offered=10.0, service_seconds=180.0)
    goal = WaitGoal(seconds=20.0, tail=0.2, lines=alone(10.0))
    assert 1 - tail_of(goal, 14, work) == pytest.approx(0.888, abs=0.0005)
    assert least_slots([goal], work) == 14


@pytest.mark.parametrize(
    ("slots", "offered"), [(12, 10), (300, 299), (500, 480), (61, 60), (400, 100)]
)
def test_the_short_cut_of_the_recursion_costs_no_digit(slots: int, offered: int) -> None:
    load, total, term = Fraction(offered), Fraction(0), Fraction(1)
    for busy in range(slots):
        total += term
        term *= load / (busy + 1)
    waits = term * slots / (slots - load)
    assert erlang_c(slots, offered) == pytest.approx(float(waits / (total + waits)), rel=1e-9)


def test_a_hundred_thousand_slots_are_no_difficulty() -> None:
    work = Work(offered=99_900.0, service_seconds=10.0)
    slots = least_slots([WaitGoal(seconds=0.5, tail=0.05, lines=alone(99_900.0))], work)
    assert 99_900 < slots < 100_900
    assert erlang_c(100_000, 99_999.5) == pytest.approx(0.998, abs=0.002)
    assert erlang_c(100_000, 10.0) == 0.0


def test_loads_beyond_reason_end_at_a_bound() -> None:
    assert least_slots([], Work(offered=1e12, service_seconds=1.0)) == MOST_SLOTS
    assert least_slots([], Work(offered=0.0, service_seconds=1.0)) == 0
    assert least_slots([], Work(offered=3.0, service_seconds=1.0)) == 4, "three would be outrun"


def test_who_cannot_be_kept_up_with_waits_for_sure() -> None:
    work = Work(offered=5.0, service_seconds=1.0)
    assert tail_of(WaitGoal(seconds=60, tail=0.05, lines=alone(5.0)), 5, work) == 1.0
    assert erlang_c(5, 5.0) == 1.0
    assert erlang_c(0, 0.0) == 1.0
    assert erlang_c(1, 0.0) == 0.0


def test_a_goal_without_any_delay_asks_that_a_slot_is_free() -> None:
    work = Work(offered=10.0, service_seconds=1.0)
    slots = least_slots([WaitGoal(seconds=0.0, tail=0.05, lines=alone(10.0))], work)
    assert erlang_c(slots, 10.0) <= 0.05 < erlang_c(slots - 1, 10.0)


# ── beside simulated queues ──────────────────────────────────────────────────────────────────────


def lognormal(variation: float) -> Callable[[random.Random], float]:
    sigma = math.sqrt(math.log(1 + variation))
    return lambda source: source.lognormvariate(-(sigma**2) / 2, sigma)


EXPONENTIAL: Service = (1.0, lambda source: source.expovariate(1))
STEADY: Service = (0.0, lambda _: 1.0)
HEAVY: Service = (4.0, lognormal(4.0))


def simulated_waits(
    slots: int, rates: Sequence[float], run: Callable[[random.Random], float], messages: int
) -> list[list[float]]:
    """Waits in lanes that are served strictly in order, service 1 s on average."""
    source = random.Random(7)
    moments = accumulate(source.expovariate(sum(rates)) for _ in range(messages))
    coming = deque((at, source.choices(range(len(rates)), rates)[0]) for at in moments)
    lanes: list[deque[float]] = [deque() for _ in rates]
    waited: list[list[float]] = [[] for _ in rates]
    free = [0.0] * slots
    while coming or any(lanes):
        start = free[0] if any(lanes) else max(free[0], coming[0][0])
        while coming and coming[0][0] <= start:
            at, lane = coming.popleft()
            lanes[lane].append(at)
        first = next(index for index, lane in enumerate(lanes) if lane)
        at = lanes[first].popleft()
        waited[first].append(max(start - at, 0.0))
        heapq.heapreplace(free, max(start, at) + run(source))
    return waited


def late_share(waited: Sequence[float], seconds: float) -> float:
    return sum(wait > seconds for wait in waited) / len(waited)


@pytest.mark.parametrize("served", [EXPONENTIAL, STEADY, HEAVY], ids=["exp", "steady", "heavy"])
@pytest.mark.parametrize(("slots", "rates"), [(12, (3.0, 5.0, 2.0)), (5, (1.0, 2.0, 1.0))])
def test_the_formula_is_near_a_simulated_queue(
    slots: int, rates: tuple[float, ...], served: Service
) -> None:
    variation, run = served
    ends = list(accumulate(rates))
    offered = ends[-1]
    work = Work(offered=offered, service_seconds=1.0, service_variation=variation)
    lines = tuple(
        Line(share=rate / offered, higher=end - rate, through=end)
        for rate, end in zip(rates, ends, strict=True)
    )
    waited = simulated_waits(slots, rates, run, 30_000)
    for line, lane in zip(lines, waited, strict=True):
        for seconds in (0.2, 1.0):
            goal = WaitGoal(seconds=seconds, tail=0.05, lines=(line._replace(share=1.0),))
            assert tail_of(goal, slots, work) == pytest.approx(late_share(lane, seconds), abs=0.09)
    together = WaitGoal(seconds=1.0, tail=0.05, lines=lines)
    everything = [wait for lane in waited for wait in lane]
    assert tail_of(together, slots, work) == pytest.approx(late_share(everything, 1.0), abs=0.05)


@pytest.mark.parametrize("served", [EXPONENTIAL, STEADY, HEAVY], ids=["exp", "steady", "heavy"])
def test_the_smallest_number_of_slots_keeps_the_promise_in_a_simulated_queue(
    served: Service,
) -> None:
    variation, run = served
    work = Work(offered=20.0, service_seconds=1.0, service_variation=variation)
    slots = least_slots([WaitGoal(seconds=0.5, tail=0.05, lines=alone(20.0))], work)
    (waited,) = simulated_waits(slots, (20.0,), run, 40_000)
    assert late_share(waited, 0.5) < 0.06
    (with_fewer,) = simulated_waits(slots - 3, (20.0,), run, 40_000)
    assert late_share(with_fewer, 0.5) > 0.06, "three fewer would not do"
