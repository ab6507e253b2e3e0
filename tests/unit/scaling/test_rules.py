"""What each rule demands, with numbers that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from octoqueue.primitives.lane import Lane
from octoqueue.primitives.signals import Counts
from octoqueue.scaling.deciding import demands_of
from octoqueue.scaling.load import load_of
from octoqueue.scaling.policy import (
    DepthTarget,
    LatencyTarget,
    Objective,
    RateTarget,
    ScalingPolicy,
)
from tests.fleet_snapshots import (
    FLEET,
    NOW_MS,
    queue,
    service,
    snapshot,
    steady,
    waits,
    worker,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.signals import Presence, QueueSignals, ServiceTime
    from octoqueue.scaling.demand import Demand

DEPTH = DepthTarget(messages_per_worker=8)
LATENCY = LatencyTarget(seconds=2.0)
RATE = RateTarget(per_second_and_worker=100)


def policy(
    *objectives: Objective,
    depth: DepthTarget | None = None,
    latency: LatencyTarget | None = None,
    rate: RateTarget | None = None,
    queues: tuple[str, ...] = ("coder",),
    slots_per_worker: int = 1,
    service_seconds: float | None = None,
    max_workers: int = 1_000,
) -> ScalingPolicy:
    return ScalingPolicy(
        fleet=FLEET,
        queues=queues,
        depth=depth,
        latency=latency,
        rate=rate,
        objectives=objectives,
        slots_per_worker=slots_per_worker,
        service_seconds=service_seconds,
        max_workers=max_workers,
    )


def demand(
    policy: ScalingPolicy,
    *queues: QueueSignals,
    live: Sequence[Presence] = (),
    lead_seconds: float = 60.0,
) -> Demand:
    load = load_of(snapshot(*queues, live=live, lead_seconds=lead_seconds), policy)
    (only,) = demands_of(load, policy)
    return only


# ── depth ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("waiting", "in_flight", "due_soon", "wanted"),
    [(0, 0, 0, 0), (1, 0, 0, 1), (8, 0, 0, 1), (9, 0, 0, 2), (0, 16, 0, 2), (40, 12, 4, 7)],
)
def test_depth_divides_what_waits_runs_and_is_due_soon(
    waiting: int, in_flight: int, due_soon: int, wanted: int
) -> None:
    busy = queue(waiting={Lane.LOW: waiting}, in_flight=in_flight, due_soon=due_soon)
    assert demand(policy(depth=DEPTH), busy).workers == wanted


def test_depth_says_what_it_stands_on() -> None:
    busy = queue(waiting={Lane.HIGH: 40}, in_flight=12, due_soon=4)
    assert demand(policy(depth=DEPTH), busy).reason == (
        "56 messages (40 wait, 12 run, 4 are due within 60 s) at 8 a worker"
    )


def test_what_waits_in_a_paused_queue_demands_nothing_but_what_runs_does() -> None:
    paused = queue(waiting={Lane.NORMAL: 900}, in_flight=9, due_soon=5, paused=True)
    found = demand(policy(depth=DEPTH), paused)
    assert found.workers == 2
    assert "900 that wait in coder (paused) demand nothing" in found.reason


def test_queues_of_a_fleet_are_added_up_and_others_left_out() -> None:
    both = policy(depth=DEPTH, queues=("coder", "judge"))
    found = demand(both, queue(in_flight=8), queue("judge", in_flight=8), queue("x", in_flight=99))
    assert found.workers == 2


# ── latency ──────────────────────────────────────────────────────────────────────────────────────


def test_latency_below_the_target_keeps_what_the_arrivals_take() -> None:
    # 10 a second of 0.5 s keep 5 slots busy.
    calm = queue(
        per_second={Lane.NORMAL: 10.0}, waited=waits(*[0.01] * 99), ran=service(0.5), in_flight=4
    )
    assert demand(policy(latency=LATENCY), calm).workers == 5


def test_latency_above_the_target_catches_up_within_it() -> None:
    # Little: 10 a second that waited 8 s too long are 80 messages, 80 * 0.5 / 2 = 20 slots more.
    late = queue(per_second={Lane.NORMAL: 10.0}, waited=waits(*[10.0] * 50), ran=service(0.5))
    observed = waits(*[10.0] * 50).percentile_seconds(0.95)
    assert observed is not None
    missing = 10 * (observed - 2.0)
    assert demand(policy(latency=LATENCY), late).workers == -(-(5 + missing * 0.5 / 2.0) // 1)


def test_latency_is_no_ratio_that_multiplies_with_the_fleet() -> None:
    late = queue(per_second={Lane.NORMAL: 10.0}, waited=waits(*[60.0] * 50), ran=service(0.5))
    with_few = demand(policy(latency=LATENCY), late, live=workers(5)).workers
    with_many = demand(policy(latency=LATENCY), late, live=workers(100)).workers
    assert with_few == with_many


def test_a_message_takes_one_slot_however_late_it_is() -> None:
    # Ten messages of a minute each, due within 2 s: 300 slots by division, but ten are enough.
    late = queue(waiting={Lane.NORMAL: 10}, oldest_seconds=90.0, ran=service(60.0))
    assert demand(policy(latency=LATENCY), late).workers == 10


def test_where_nothing_starts_the_age_of_the_oldest_is_the_latency() -> None:
    stuck = queue(waiting={Lane.NORMAL: 3}, oldest_seconds=42.0, ran=service(0.5))
    found = demand(policy(latency=LATENCY), stuck)
    assert found.workers == 1
    assert "P95 of the wait is 42 s, the target 2 s" in found.reason


def test_latency_without_a_service_time_asks_for_one_more_than_are_ready() -> None:
    stuck = queue(waiting={Lane.NORMAL: 3}, oldest_seconds=42.0, in_flight=4)
    assert demand(policy(latency=LATENCY), stuck, live=workers(4)).workers == 5
    assert demand(policy(latency=LATENCY), stuck, live=workers(5)).workers == 6
    calm = queue(waiting={Lane.NORMAL: 3}, oldest_seconds=0.1, in_flight=4)
    assert demand(policy(latency=LATENCY), calm, live=workers(6)).workers == 4


# ── rate ─────────────────────────────────────────────────────────────────────────────────────────


def test_rate_divides_arrivals_and_requests() -> None:
    assert demand(policy(rate=RATE), queue(per_second={Lane.HIGH: 250.0})).workers == 3
    edges = [worker(number, requests_per_second=400.0) for number in range(3)]
    reflex = policy(rate=RateTarget(per_second_and_worker=500), queues=())
    assert demand(reflex, live=edges).workers == 3
    assert demand(reflex, live=[*edges, worker(9, requests_per_second=301.0)]).workers == 4


def test_rate_never_gives_up_what_runs() -> None:
    busy = queue(in_flight=21)
    assert demand(policy(rate=RATE, slots_per_worker=10), busy).workers == 3


def test_the_rate_is_that_of_minutes_unless_shorter_windows_are_surely_above_it() -> None:
    def arriving(ten: int, sixty: int, five_minutes: int, *, start_up: float = 60.0) -> float:
        counts = Counts(counts=(ten, sixty, five_minutes, five_minutes))
        busy = queue(arrivals={Lane.HIGH: counts})
        quick = replace(policy(rate=RATE), start_up_seconds=start_up)
        return load_of(snapshot(busy), quick).arrivals_per_second

    assert arriving(2, 6, 30) == pytest.approx(0.1), "six instead of six: as many as ever"
    assert arriving(2, 9, 30) == pytest.approx(0.1), "nine instead of six are chance"
    assert arriving(3, 16, 30) == pytest.approx((16 - 4) / 60), "sixteen are surely more"
    assert arriving(10, 900, 900) == pytest.approx(15.0)
    assert arriving(-5, -5, -5) == 0.0


def test_a_burst_that_is_over_before_a_worker_is_ready_counts_by_the_minute() -> None:
    def arriving(start_up: float) -> float:
        busy = queue(arrivals={Lane.HIGH: Counts(counts=(400, 400, 400, 400))})
        quick = replace(policy(rate=RATE), start_up_seconds=start_up)
        return load_of(snapshot(busy), quick).arrivals_per_second

    assert arriving(5.0) == pytest.approx((400 - 3 * 20) / 10)
    assert arriving(60.0) == pytest.approx(400 / 60)


# ── objectives ───────────────────────────────────────────────────────────────────────────────────


def test_an_objective_takes_the_slots_of_erlang_c() -> None:
    # The call centre of test_erlang: 200 an hour of 180 s, 80 % within 20 s: 14 slots.
    arrivals = Counts(counts=(0, 200, 1000, 2000))
    # A count of a minute stands for an hour here, so that it is a whole number: 60 times faster.
    busy = queue(arrivals={Lane.NORMAL: arrivals}, ran=service(3.0))
    promise = Objective(seconds=20 / 60, percentile=0.8)
    assert demand(policy(promise), busy, live=workers(14)).workers == 14
    assert demand(policy(promise, slots_per_worker=4), busy, live=workers(14)).workers == 4


def test_a_promise_to_the_high_lane_is_cheaper_than_to_all() -> None:
    busy = queue(
        per_second={Lane.HIGH: 4.0, Lane.NORMAL: 4.0, Lane.LOW: 4.0},
        ran=service(1.0),
    )
    ready = workers(40)
    high, low, every = (
        demand(policy(Objective(seconds=0.2, lane=lane)), busy, live=ready).workers
        for lane in (Lane.HIGH, Lane.LOW, None)
    )
    assert 12 < high < every < low


def test_steadier_service_takes_fewer_slots_than_heavy_tailed_one() -> None:
    promise = policy(Objective(seconds=1.0))
    found = [
        demand(
            promise,
            queue(per_second={Lane.NORMAL: 20.0}, ran=service(1.0, variation=variation)),
            live=workers(60),
        ).workers
        for variation in (0.0, 1.0, 10.0)
    ]
    assert found == sorted(found)
    assert found[0] < found[2]


def test_few_measured_attempts_are_mixed_with_an_exponential_guess() -> None:
    ran = service(1.0, variation=0.0, count=10)
    found = load_of(snapshot(queue(ran=ran)), policy(depth=DEPTH)).service
    assert found is not None
    assert found.squared_variation == pytest.approx(0.5)


def test_what_will_still_wait_when_workers_are_ready_is_worked_off_within_the_objective() -> None:
    # 300 wait, 5 slots do 5 * 60 / 2 = 150 until others are ready; none arrive. 150 and the 5 that
    # run, to be started within 10 s of slots that turn over 10 / 2 times: 155 / 6 = 25.8.
    late = queue(waiting={Lane.NORMAL: 300}, in_flight=5, ran=service(2.0))
    found = demand(policy(Objective(seconds=10.0)), late, live=workers(5))
    assert found.workers == 26
    assert found.reason.startswith(
        "26 slots to start, within 10 s, 150 messages that will still wait when new workers are "
        "ready in 60 s (300 wait and 5 run now; "
    )
    relaxed = Objective(seconds=10.0, drain_seconds=120.0)
    assert demand(policy(relaxed), late, live=workers(5)).workers == 5, "305 / 61, which are there"


def test_what_the_ready_slots_will_have_done_is_no_backlog() -> None:
    soon_gone = queue(waiting={Lane.NORMAL: 300}, in_flight=20, ran=service(2.0))
    assert demand(policy(Objective(seconds=10.0)), soon_gone, live=workers(20)).workers == 20


def test_arrivals_that_outrun_the_ready_slots_grow_the_backlog_meanwhile() -> None:
    # 20 a second of 1 s, 10 slots: in 60 s 600 are left, plus 20 * 10 in the drain time, plus 10
    # that run: 810 / (1 + 10) = 73.6.
    rising = queue(per_second={Lane.NORMAL: 20.0}, in_flight=10, ran=service(1.0))
    assert demand(policy(Objective(seconds=10.0)), rising, live=workers(10)).workers == 74


def test_lower_lanes_do_not_add_to_the_backlog_of_a_higher_one() -> None:
    behind = queue(waiting={Lane.LOW: 10_000}, in_flight=5, ran=service(2.0))
    high = policy(Objective(seconds=10.0, lane=Lane.HIGH))
    assert demand(policy(Objective(seconds=10.0)), behind, live=workers(5)).workers > 1_000
    found = demand(high, behind, live=workers(5))
    assert found.workers == 5, "they keep those that are there, as there is work for long"
    assert found.reason.startswith("5 slots with work for 600 s, promised or not (10000 wait")


def test_a_fleet_shrinks_below_what_runs_when_that_is_soon_done() -> None:
    # 20 of 1 s run, 8 a second arrive: in 5 s (20 + 40) / 6 = 10 slots do it.
    calmer = queue(per_second={Lane.NORMAL: 8.0}, in_flight=20, ran=service(1.0))
    assert demand(policy(Objective(seconds=5.0)), calmer, live=workers(20)).workers == 10
    # Of 600 s each, they are there for long: (20 + 0) / (1 + 5 / 600).
    long = queue(in_flight=20, ran=service(600.0))
    assert demand(policy(Objective(seconds=5.0)), long, live=workers(20)).workers == 20


def test_workers_that_were_asked_for_are_kept_while_there_is_more_than_the_ready_ones_do() -> None:
    # 200 wait, 2 slots of 1 s ready. 24 were asked for 50 s ago: 22 of them do 1,100 before one
    # asked for now would be ready, so no more are needed, and none of those is sent away.
    late = queue(waiting={Lane.NORMAL: 200}, in_flight=2, ran=service(1.0))
    fresh = replace(
        snapshot(late, live=workers(2), lead_seconds=60.0),
        wanted_since=((24, NOW_MS - 50_000),),
    )
    promise = policy(Objective(seconds=5.0))
    (found,) = demands_of(load_of(fresh, promise), promise)
    assert found.workers == 24
    (without,) = demands_of(load_of(replace(fresh, wanted_since=()), promise), promise)
    assert without.workers == 14, "(200 - 120 + 2) / 6"


def test_a_single_message_keeps_a_worker_and_none_keeps_none() -> None:
    promise = policy(Objective(seconds=10.0, lane=Lane.HIGH), slots_per_worker=50)
    one = queue(waiting={Lane.LOW: 1}, ran=service(2.0))
    assert demand(promise, one, live=workers(1)).workers == 1
    assert demand(promise, queue(ran=service(2.0))).workers == 0


def test_without_any_service_time_each_message_counts_a_slot_and_somebody_is_told() -> None:
    new = queue(waiting={Lane.NORMAL: 30}, in_flight=2)
    found = demand(policy(Objective(seconds=10.0), slots_per_worker=16), new)
    assert found.workers == 2
    assert "configure `service`" in found.warnings[0]
    told = demand(policy(Objective(seconds=10.0), service_seconds=2.0), new, live=workers(5))
    assert not told.warnings


def test_an_objective_beyond_the_most_workers_says_what_it_takes_and_what_is_kept() -> None:
    busy = queue(per_second={Lane.NORMAL: 20.0}, ran=service(1.0))
    found = demand(policy(Objective(seconds=0.1), max_workers=22), busy, live=workers(40))
    assert found.workers == 27
    (warning,) = found.warnings
    assert warning.startswith(
        "objective: 95 % of all within 0.1 s takes 27 workers, and max_workers allows 22, with "
        "which about "
    )


def test_a_fleet_that_must_be_outrun_is_said_to_be() -> None:
    busy = queue(per_second={Lane.NORMAL: 20.0}, ran=service(1.0))
    found = demand(policy(Objective(seconds=5.0), max_workers=10), busy, live=workers(10))
    (warning,) = found.warnings
    assert warning == (
        "objective: 20 slots are busy on average, and max_workers allows 10 slots; what waits will "
        "grow, it takes 21 workers"
    )


def test_a_backlog_that_is_too_much_for_now_is_no_impossible_objective() -> None:
    late = queue(waiting={Lane.NORMAL: 9_000}, in_flight=5, ran=service(2.0))
    assert not demand(policy(Objective(seconds=1.0), max_workers=5), late).warnings


def test_several_queues_mix_their_service_times() -> None:
    two = policy(Objective(seconds=1.0), queues=("coder", "judge"))
    # 900 of 1 s and 100 of 11 s: 2 s on average, second moment 900 * 1 + 100 * 121 over 1000 = 13.
    load = load_of(
        snapshot(
            queue(ran=service(1.0, variation=0.0, count=900_000)),
            queue("judge", ran=service(11.0, variation=0.0, count=100_000)),
        ),
        two,
    )
    assert load.service is not None
    assert load.service.mean_seconds == pytest.approx(2.0)
    assert load.service.squared_variation == pytest.approx(13 / 4 - 1, rel=1e-4)


def test_steady_counts_are_their_rate() -> None:
    assert steady(2.0).per_second(60) == 2.0


# ── what gates hold back ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("rules", "ran"),
    [
        (policy(depth=DEPTH), None),
        (policy(latency=LATENCY), service(4.0)),
        (policy(Objective(seconds=5.0)), service(4.0)),
        (policy(Objective(seconds=5.0)), None),
    ],
    ids=["depth", "latency", "objective", "objective without service time"],
)
def test_what_waits_at_a_closed_gate_demands_no_worker(
    rules: ScalingPolicy, ran: ServiceTime | None
) -> None:
    """500 wait for a limit that lets none start: as many workers as without them, and a word."""
    waited = waits(*[400.0] * 100)
    slow = {Lane.NORMAL: 0.2}
    held = queue(
        waiting={Lane.NORMAL: 503},
        held_back={Lane.NORMAL: 500},
        per_second=slow,
        waited=waited,
        oldest_seconds=2_000.0,
        in_flight=2,
        ran=ran,
    )
    free = queue(waiting={Lane.NORMAL: 3}, per_second=slow, in_flight=2, ran=ran)
    (found,) = demands_of(load_of(snapshot(held, live=workers(4)), rules), rules)
    (without,) = demands_of(load_of(snapshot(free, live=workers(4)), rules), rules)
    assert found.workers == without.workers
    assert "500 that wait for a tenant's turn, a cap or a limit demand nothing" in found.reason


# ── lead time ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("measured", "wanted"),
    [(None, 60.0), (0.0, 0.0), (-5.0, 0.0), (45.0, 45.0), (float("nan"), 60.0), (36_000.0, 600.0)],
)
def test_a_lead_time_that_cannot_be_is_not_believed(measured: float | None, wanted: float) -> None:
    rules = policy(Objective(seconds=5.0))
    assert load_of(snapshot(lead_seconds=measured), rules).lead_seconds == wanted
    slow = replace(rules, start_up_seconds=300.0)
    assert load_of(snapshot(lead_seconds=36_000.0), slow).lead_seconds == 3_000.0


def test_a_fleet_grows_even_when_a_lead_time_of_ten_hours_was_measured() -> None:
    """Two slots do 72,000 messages in ten hours, but 2,000 are not to wait for them."""
    late = queue(waiting={Lane.NORMAL: 2_000}, in_flight=2, ran=service(1.0))
    rules = policy(Objective(seconds=5.0))
    load = load_of(snapshot(late, live=workers(2), lead_seconds=36_000.0), rules)
    (found,) = demands_of(load, rules)
    assert found.workers > 100


def test_by_rate_a_backlog_is_caught_up_on_within_a_minute() -> None:
    """Two workers do the 200 that arrive a second, and would never do the 12,000 of an outage."""
    rules = policy(rate=RATE)
    late = queue(waiting={Lane.NORMAL: 12_000}, per_second={Lane.NORMAL: 200.0}, ran=service(0.001))
    (found,) = demands_of(load_of(snapshot(late, live=workers(2)), rules), rules)
    assert found.workers == 4
    assert found.reason == "400 a second at 100 a worker, 12000 that wait counted over a minute"


# ── long runs ────────────────────────────────────────────────────────────────────────────────────


def test_runs_of_hours_keep_their_slots_when_only_short_messages_have_ended_lately() -> None:
    """Three run for hours; in ten minutes five others failed within a second each."""
    rules = policy(Objective(seconds=5.0))
    started = {Lane.NORMAL: Counts(counts=(0, 0, 2, 5))}
    busy = queue(in_flight=3, started=started, ran=service(1.0, count=5))
    (found,) = demands_of(load_of(snapshot(busy, live=workers(3)), rules), rules)
    assert found.workers == 3
    assert "3 more have run for long and have a slot each" in found.reason


def test_what_comes_beside_long_runs_is_started_by_other_slots() -> None:
    """As many slots as without the three long runs, and three."""
    rules = policy(Objective(seconds=5.0))
    started = {Lane.NORMAL: steady(2.0)}
    rates = {Lane.NORMAL: 2.0}
    ran = service(1.0)
    alone = queue(per_second=rates, in_flight=20, started=started, ran=ran)
    beside = queue(per_second=rates, in_flight=20 + 3, started=started, ran=ran)
    (without,) = demands_of(load_of(snapshot(alone, live=workers(9)), rules), rules)
    load = load_of(snapshot(beside, live=workers(9)), rules)
    (found,) = demands_of(load, rules)
    assert load.long_running == 3
    assert found.workers == without.workers + 3


@pytest.mark.parametrize("asked", [0, 12])
def test_long_runs_do_not_make_a_busy_fleet_grow_by_themselves(asked: int) -> None:
    """A backlog that nobody promised anything about keeps what is ready, and no more."""
    rules = policy(Objective(seconds=5.0, lane=Lane.HIGH))
    started = {Lane.LOW: Counts(counts=(9, 60, 300, 600))}
    busy = queue(waiting={Lane.LOW: 90_000}, in_flight=12, started=started, ran=service(0.9))
    wished = replace(snapshot(busy, live=workers(12)), wanted_since=((asked, NOW_MS),))
    load = load_of(wished, rules)
    assert load.long_running == 3
    (found,) = demands_of(load, rules)
    assert found.workers == 12


def test_queues_that_have_no_running_time_in_common_are_warned_of() -> None:
    """By their mean, 2 ms, 200 messages of a minute look as if they were done in half a second."""
    rules = policy(Objective(seconds=5.0), queues=("short", "long"))
    short = queue("short", per_second={Lane.NORMAL: 1_000.0}, ran=service(0.001))
    long = queue("long", waiting={Lane.NORMAL: 200}, ran=service(60.0, count=10))
    (found,) = demands_of(load_of(snapshot(short, long), rules), rules)
    (warning,) = found.warnings
    assert warning == (
        "objective: messages run 0.001 s in one of its queues and 60 s in another, and one mean "
        "says little of both; give each a fleet of its own, or go by depth"
    )
    alike = queue("long", waiting={Lane.NORMAL: 200}, ran=service(0.02))
    (found,) = demands_of(load_of(snapshot(short, alike), rules), rules)
    assert found.warnings == ()
