"""KEDA's loop: from 0, to 0, and what errors, fallbacks and pauses make of it."""

from __future__ import annotations

import pytest

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT
from octoqueue.scaling.keda_loop import Turn, due_at, poll, step, sync
from octoqueue.scaling.keda_loop_rules import (
    Fallback,
    FallbackBehavior,
    KedaState,
    Pauses,
    Reading,
    ScaledObjectRules,
    Size,
    created,
)

QUIET = Reading("workers")
BUSY = Reading("workers", value=4.0, is_active=True)
BROKEN = Reading("workers", failure="metric")
UNREACHABLE = Reading("workers", failure="unreachable")


def of(replicas: int) -> Size:
    return Size(asked=replicas, existing=replicas, ready=replicas)


def polled(
    *readings: Reading,
    replicas: int,
    now: float = 0.0,
    state: KedaState | None = None,
    rules: ScaledObjectRules | None = None,
) -> Turn:
    return poll(
        state or created(0.0),
        readings,
        now=now,
        size=of(replicas),
        rules=rules or ScaledObjectRules(),
    )


def synced(
    *readings: Reading,
    replicas: int,
    now: float = 0.0,
    state: KedaState | None = None,
    rules: ScaledObjectRules | None = None,
) -> Turn:
    return sync(
        state or created(0.0),
        lambda: readings,
        now=now,
        size=of(replicas),
        rules=rules or ScaledObjectRules(),
    )


# ── between 0 and 1 ──────────────────────────────────────────────────────────────────────────────


def test_an_active_trigger_wakes_the_first_replica_however_much_is_wanted() -> None:
    turn = polled(BUSY, replicas=0)
    assert (turn.replicas, turn.cause) == (1, "activated")
    assert turn.state.last_active_at == 0.0


def test_waking_goes_to_the_minimum() -> None:
    assert polled(BUSY, replicas=0, rules=ScaledObjectRules(min_replicas=3)).replicas == 3


def test_any_size_goes_straight_to_none_once_the_cooldown_is_over() -> None:
    active = polled(BUSY, replicas=40, now=0.0).state
    at_its_end = polled(QUIET, replicas=40, now=300.0, state=active)
    assert (at_its_end.replicas, at_its_end.cause) == (40, "cooling down")
    after = polled(QUIET, replicas=40, now=300.1, state=active)
    assert (after.replicas, after.cause) == (0, "deactivated")


def test_what_never_was_active_waits_for_the_initial_cooldown_only() -> None:
    rules = ScaledObjectRules(initial_cooldown_seconds=60.0)
    assert polled(QUIET, replicas=2, now=60.0, rules=rules).replicas == 2
    assert polled(QUIET, replicas=2, now=60.1, rules=rules).replicas == 0
    assert polled(QUIET, replicas=2, now=0.1).replicas == 0


def test_with_a_minimum_nobody_but_the_autoscaler_shrinks() -> None:
    rules = ScaledObjectRules(min_replicas=2)
    assert polled(QUIET, replicas=9, now=9_000.0, rules=rules).replicas == 9
    low = polled(QUIET, replicas=1, now=0.0, rules=rules)
    assert (low.replicas, low.cause) == (2, "raised to the minimum")


def test_idle_replicas_are_none_and_the_way_back_is_the_minimum() -> None:
    rules = ScaledObjectRules(min_replicas=3, idle_replicas=0)
    assert polled(QUIET, replicas=5, now=1.0, rules=rules).replicas == 0
    assert polled(BUSY, replicas=0, now=1.0, rules=rules).replicas == 3
    assert polled(BUSY, replicas=2, now=1.0, rules=rules).replicas == 3


def test_a_forced_activation_wakes_without_work() -> None:
    assert (
        polled(QUIET, replicas=0, rules=ScaledObjectRules(is_activation_forced=True)).replicas == 1
    )


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("broken", [BROKEN, UNREACHABLE], ids=["metric", "unreachable"])
def test_an_error_without_a_fallback_leaves_the_size_alone(broken: Reading) -> None:
    for replicas in (0, 7):
        assert polled(broken, replicas=replicas, now=9_000.0).replicas == replicas
    turn = synced(broken, replicas=7)
    assert turn.replicas == 7
    assert turn.sync is not None
    assert turn.sync.readiness == "InvalidMetrics"


def test_an_error_beside_an_active_trigger_does_not_renew_the_cooldown() -> None:
    turn = polled(BUSY, Reading("other", failure="metric"), replicas=3, now=50.0)
    assert turn.cause == "error beside an active trigger"
    assert turn.state.last_active_at < 0


def test_one_unreachable_scaler_spoils_the_metrics_of_the_others() -> None:
    busy = BUSY._replace(value=20.0)
    assert synced(busy, Reading("other", failure="metric"), replicas=2).replicas > 2
    assert synced(busy, Reading("other", failure="unreachable"), replicas=2).replicas == 2


# ── fallback ─────────────────────────────────────────────────────────────────────────────────────


def rules_falling_back(
    replicas: int = 6, behavior: FallbackBehavior = "static", failures: int = 2
) -> ScaledObjectRules:
    return ScaledObjectRules(
        fallback=Fallback(failure_threshold=failures, replicas=replicas, behavior=behavior),
        behavior=KUBERNETES_DEFAULT,
    )


def test_polls_and_syncs_both_count_failures_so_it_falls_back_early() -> None:
    rules = rules_falling_back(failures=2)
    state = polled(BROKEN, replicas=3, rules=rules).state
    second = synced(BROKEN, replicas=3, state=state, rules=rules)
    assert second.replicas == 3
    third = synced(BROKEN, replicas=3, now=15.0, state=second.state, rules=rules)
    assert third.replicas == 6


def test_a_good_answer_forgets_the_failures() -> None:
    rules = rules_falling_back(failures=1)
    state = polled(BROKEN, replicas=3, rules=rules).state
    state = polled(BUSY, replicas=3, rules=rules, state=state).state
    assert synced(BROKEN, replicas=3, state=state, rules=rules).replicas == 3


def test_falling_back_counts_as_active_so_it_leaves_zero() -> None:
    rules = rules_falling_back(failures=0)
    turn = polled(BROKEN, replicas=0, rules=rules)
    assert (turn.replicas, turn.cause) == (1, "activated")


def test_an_unreachable_scaler_never_falls_back() -> None:
    rules = rules_falling_back(failures=0)
    state = created(0.0)
    for now in range(0, 600, 15):
        turn = synced(UNREACHABLE, replicas=3, now=float(now), state=state, rules=rules)
        state = polled(UNREACHABLE, replicas=3, now=float(now), state=turn.state, rules=rules).state
        assert turn.replicas == 3
    assert state.failures == {}


@pytest.mark.parametrize(
    ("behavior", "current", "expected"),
    [
        ("static", 9, 6),
        ("static", 3, 6),
        ("currentReplicas", 9, 9),
        ("currentReplicas", 3, 3),
        ("currentReplicasIfHigher", 9, 9),
        ("currentReplicasIfHigher", 3, 6),
        ("currentReplicasIfLower", 9, 6),
        ("currentReplicasIfLower", 3, 3),
    ],
)
def test_what_a_fallback_wants(behavior: FallbackBehavior, current: int, expected: int) -> None:
    rules = rules_falling_back(behavior=behavior, failures=0)
    assert rules.fallback is not None
    assert rules.fallback.wanted(current) == expected
    turn = synced(BROKEN, replicas=current, rules=rules)
    assert turn.sync is not None
    assert turn.sync.proposed == expected


def test_a_fallback_of_none_turns_an_outage_into_a_step_to_none() -> None:
    rules = rules_falling_back(replicas=0, failures=5)
    assert polled(BROKEN, replicas=7, now=1.0, rules=rules).replicas == 0


def test_a_value_metric_cannot_fall_back_without_a_ready_pod() -> None:
    rules = rules_falling_back(failures=0)
    broken = BROKEN._replace(kind="Value", target=20.0)
    turn = sync(
        created(0.0),
        lambda: (broken,),
        now=0.0,
        size=Size(asked=2, existing=2, ready=0),
        rules=rules,
    )
    assert turn.replicas == 2
    assert synced(broken, replicas=2, rules=rules).replicas == 6


# ── pauses ───────────────────────────────────────────────────────────────────────────────────────


def test_a_pause_stops_both_loops_and_forgets_the_autoscaler() -> None:
    rules = ScaledObjectRules(pauses=Pauses(all=True))
    assert polled(BUSY, replicas=0, rules=rules).replicas == 0
    state = synced(BUSY, replicas=4).state
    paused = synced(BUSY._replace(value=50.0), replicas=4, state=state, rules=rules)
    assert (paused.replicas, paused.cause) == (4, "paused")
    assert paused.state.hpa.recommendations == ()


def test_paused_replicas_are_taken_once_and_kept() -> None:
    rules = ScaledObjectRules(pauses=Pauses(replicas=2))
    assert polled(BUSY, replicas=9, rules=rules).replicas == 2


def test_a_paused_direction_blocks_the_autoscaler_and_the_step_from_or_to_none() -> None:
    no_in = ScaledObjectRules(pauses=Pauses(scale_in=True))
    assert polled(QUIET, replicas=3, now=1.0, rules=no_in).replicas == 3
    assert synced(QUIET, replicas=3, rules=no_in).replicas == 3
    assert synced(BUSY, replicas=3, rules=no_in).replicas == 4
    no_out = ScaledObjectRules(pauses=Pauses(scale_out=True))
    assert polled(BUSY, replicas=0, rules=no_out).replicas == 0
    assert synced(BUSY, replicas=3, rules=no_out).replicas == 3


# ── both together ────────────────────────────────────────────────────────────────────────────────


def test_the_autoscaler_sleeps_at_none_and_asks_nobody() -> None:
    def ask() -> tuple[Reading, ...]:
        raise AssertionError("asked at 0 replicas")

    turn = sync(created(0.0), ask, now=0.0, size=of(0), rules=ScaledObjectRules())
    assert turn.replicas == 0


def test_cached_metrics_tell_the_autoscaler_what_the_last_poll_read() -> None:
    rules = ScaledObjectRules(uses_cached_metrics=True)
    state = polled(BUSY, replicas=2, rules=rules).state
    assert synced(BUSY._replace(value=30.0), replicas=2, state=state, rules=rules).replicas == 4


def test_from_none_to_many_and_back_in_virtual_time() -> None:
    state, replicas, sizes = created(0.0), 0, dict[float, int]()
    while due_at(state) < 900.0:
        now = due_at(state)
        is_busy = now < 120.0
        wish = Reading("workers", value=20.0 if is_busy else 0.0, is_active=is_busy)
        turn = step(
            state,
            now=now,
            size=of(replicas),
            ask=lambda wish=wish: (wish,),  # type: ignore[misc]
            rules=ScaledObjectRules(),
        )
        state, replicas = turn.state, turn.replicas
        sizes[now] = replicas
    assert [sizes[float(at)] for at in (0, 15, 30, 45, 60)] == [4, 8, 16, 20, 20]
    # The last poll that found work is that of 90 s; the autoscaler holds what was wanted lately,
    # and KEDA takes all of it away with the first poll after 390 s.
    assert sizes[390.0] == 20
    assert sizes[420.0] == 0
    assert sizes[885.0] == 0
