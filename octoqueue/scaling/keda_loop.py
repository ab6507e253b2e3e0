"""KEDA's own loop around the autoscaler, in virtual time: who may go from and to 0, and when.

    every 30 s   poll   0 → 1 when a trigger is active; any N → 0 when none was for the cooldown
    every 15 s   sync   the autoscaler, between 1 and the maximum; asleep at 0

KEDA 2.20 and main of August 2026: `pkg/scaling/executor/scale_scaledobjects.go`, `pkg/fallback`,
`pkg/scaling/scale_handler.go`. Times are seconds of a clock that the caller keeps to. What is left
out: push triggers, scaling modifiers, an autoscaler that cannot be made because a scaler was
unreachable when the ScaledObject was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from octoqueue.scaling import hpa
from octoqueue.scaling.hpa_metrics import (
    Proposal,
    Tolerances,
    average_value_proposal,
    tolerances_of,
    unreadable,
    value_proposal,
)
from octoqueue.scaling.hpa_state import HpaState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.scaling.keda_loop_rules import KedaState, Reading, ScaledObjectRules, Size

Cause = Literal[
    "unchanged",
    "activated",
    "cooling down",
    "deactivated",
    "raised to the minimum",
    "error",
    "error beside an active trigger",
    "waiting for the fallback",
    "paused",
    "scaled",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a poll, a sync or both came to."""

    state: KedaState
    replicas: int
    """`spec.replicas` from now on."""
    cause: Cause
    sync: hpa.Sync | None = None
    """Of the autoscaler, when it was its turn and it was awake."""

    @property
    def reason(self) -> str:
        """In words, why the size is what it is."""
        return self.cause if self.sync is None else self.sync.reason


def step(
    state: KedaState,
    *,
    now: float,
    size: Size,
    ask: Callable[[], Sequence[Reading]],
    rules: ScaledObjectRules,
    others: Sequence[Proposal] = (),
) -> Turn:
    """Do what is due at `now`: a poll, then a sync; nothing when neither is.

    Args:
        state: From the step before, or `created`.
        now: Before `due_at(state)` nothing happens.
        size: Of the workload.
        ask: Reads every trigger; called once for a poll and once for a sync, as KEDA does. Of a
            failed call it gives the second answer, as KEDA asks once more at once.
        rules: Of the ScaledObject.
        others: Proposals of cpu and memory triggers, which Kubernetes measures itself.
    """
    turn = Turn(state=state, replicas=size.asked, cause="unchanged")
    if now >= state.next_poll_at:
        turn = poll(state, ask(), now=now, size=size, rules=rules)
        turn = replace(turn, state=replace(turn.state, next_poll_at=now + rules.polling_seconds))
    if now >= state.next_sync_at:
        size = size._replace(asked=turn.replicas)
        polled = turn
        turn = sync(turn.state, ask, now=now, size=size, rules=rules, others=others)
        turn = replace(
            turn,
            state=replace(turn.state, next_sync_at=now + rules.sync_seconds),
            cause=polled.cause if turn.cause == "unchanged" else turn.cause,
        )
    return turn


def due_at(state: KedaState) -> float:
    """Return when `step` does something next."""
    return min(state.next_poll_at, state.next_sync_at)


def poll(
    state: KedaState,
    readings: Sequence[Reading],
    *,
    now: float,
    size: Size,
    rules: ScaledObjectRules,
) -> Turn:
    """Return what one round of KEDA's scale loop does."""
    if rules.pauses.all or rules.pauses.replicas is not None:
        return _paused(state, size, rules)
    state, answers = _with_fallback(state, readings, size=size, rules=rules)
    state = replace(state, polled=answers)
    is_error = any(answer.failure for answer in answers)
    if rules.is_activation_forced or any(answer.is_active for answer in answers):
        return _active(state, now=now, size=size, rules=rules, is_error=is_error)
    return _inactive(state, now=now, size=size, rules=rules, is_error=is_error)


def _paused(state: KedaState, size: Size, rules: ScaledObjectRules) -> Turn:
    wanted = rules.pauses.replicas
    # The autoscaler is deleted, and with it what it remembered.
    return Turn(
        state=replace(state, hpa=HpaState()),
        replicas=size.asked if wanted is None else wanted,
        cause="paused",
    )


def _active(
    state: KedaState, *, now: float, size: Size, rules: ScaledObjectRules, is_error: bool
) -> Turn:
    is_below_idle_minimum = rules.idle_replicas is not None and size.asked < rules.min_replicas
    if size.asked == 0 or is_below_idle_minimum:
        if rules.pauses.scale_out:
            return Turn(state=state, replicas=size.asked, cause="paused")
        return Turn(
            state=replace(state, last_active_at=now),
            replicas=max(1, rules.min_replicas),
            cause="activated",
        )
    if is_error:
        # An error beside it keeps an active trigger from renewing the cooldown.
        return Turn(state=state, replicas=size.asked, cause="error beside an active trigger")
    return Turn(state=replace(state, last_active_at=now), replicas=size.asked, cause="unchanged")


def _inactive(
    state: KedaState, *, now: float, size: Size, rules: ScaledObjectRules, is_error: bool
) -> Turn:
    if is_error and rules.fallback is None:
        return Turn(state=state, replicas=size.asked, cause="error")
    if is_error and rules.fallback is not None and rules.fallback.replicas != 0:
        return Turn(state=state, replicas=size.asked, cause="waiting for the fallback")
    # With a fallback of 0 an error falls through to here, and an outage becomes a step to none.
    if size.asked > 0 == rules.floor:
        return _cooling(state, now=now, size=size, rules=rules)
    if rules.idle_replicas is None and size.asked < rules.min_replicas:
        return Turn(state=state, replicas=rules.min_replicas, cause="raised to the minimum")
    return Turn(state=state, replicas=size.asked, cause="unchanged")


def _cooling(state: KedaState, *, now: float, size: Size, rules: ScaledObjectRules) -> Turn:
    if rules.pauses.scale_in:
        return Turn(state=state, replicas=size.asked, cause="paused")
    was_active = state.last_active_at > float("-inf")
    cooled_at = (
        state.last_active_at + rules.cooldown_seconds
        if was_active
        else state.created_at + rules.initial_cooldown_seconds
    )
    if cooled_at >= now:
        return Turn(state=state, replicas=size.asked, cause="cooling down")
    return Turn(state=state, replicas=rules.floor, cause="deactivated")


def sync(
    state: KedaState,
    ask: Callable[[], Sequence[Reading]],
    *,
    now: float,
    size: Size,
    rules: ScaledObjectRules,
    others: Sequence[Proposal] = (),
) -> Turn:
    """Return what one sync of the autoscaler does; it asks nothing at 0 or out of bounds."""
    if rules.pauses.all or rules.pauses.replicas is not None:
        return _paused(state, size, rules)
    bounds = rules.bounds
    proposals: list[Proposal] = []
    if bounds.least <= size.asked <= bounds.most:
        state, answers = _for_the_autoscaler(state, ask(), size=size, rules=rules)
        tolerances = tolerances_of(rules.autoscaler_behavior)
        proposals = [_proposal(answer, size, tolerances) for answer in answers]
        proposals.extend(others)
    outcome = hpa.step(
        state.hpa,
        now=now,
        current=size.asked,
        proposals=proposals,
        bounds=bounds,
        behavior=rules.autoscaler_behavior,
    )
    return Turn(
        state=replace(state, hpa=outcome.state),
        replicas=outcome.replicas,
        cause="unchanged" if outcome.replicas == size.asked else "scaled",
        sync=outcome,
    )


def _for_the_autoscaler(
    state: KedaState, readings: Sequence[Reading], *, size: Size, rules: ScaledObjectRules
) -> tuple[KedaState, Sequence[Reading]]:
    """Return what the autoscaler is told.

    One unreachable scaler spoils the metrics of all (KEDA #5914). Cached answers are those of the
    last poll, which has counted their failures already.
    """
    if any(reading.failure == "unreachable" for reading in readings):
        return state, [reading._replace(failure="unreachable") for reading in readings]
    if rules.uses_cached_metrics and state.polled:
        return state, state.polled
    return _with_fallback(state, readings, size=size, rules=rules)


def _with_fallback(
    state: KedaState, readings: Sequence[Reading], *, size: Size, rules: ScaledObjectRules
) -> tuple[KedaState, tuple[Reading, ...]]:
    """Count failures, and put what the fallback says in the place of those that were too many.

    An unreachable scaler is not counted: KEDA fails before it comes to counting, so the fallback
    never fires (KEDA #8056).
    """
    fallback = rules.fallback
    if fallback is None:
        return state, tuple(readings)
    failures = dict(state.failures)
    answers: list[Reading] = []
    for reading in readings:
        answer = reading
        if reading.failure is None:
            failures[reading.metric] = 0
        elif reading.failure == "metric":
            failures[reading.metric] = failures.get(reading.metric, 0) + 1
            if failures[reading.metric] > fallback.failure_threshold:
                answer = _fallen_back(reading, float(fallback.wanted(size.asked)), size)
        answers.append(answer)
    return replace(state, failures=failures), tuple(answers)


def _fallen_back(reading: Reading, replicas: float, size: Size) -> Reading:
    if reading.kind == "Value":
        if size.ready == 0:
            return reading
        replicas /= size.ready
    return reading._replace(value=replicas * reading.target, is_active=True, failure=None)


def _proposal(answer: Reading, size: Size, tolerances: Tolerances) -> Proposal:
    if answer.failure is not None:
        return unreadable(answer.metric, f"{answer.metric}: {answer.failure}")
    if answer.kind == "Value":
        return value_proposal(
            answer.metric,
            values=(answer.value,),
            target=answer.target,
            spec_replicas=size.asked,
            ready_pods=size.ready if size.existing else None,
            tolerances=tolerances,
        )
    return average_value_proposal(
        answer.metric,
        values=(answer.value,),
        target=answer.target,
        status_replicas=size.existing,
        tolerances=tolerances,
    )
