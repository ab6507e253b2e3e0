"""`FleetDecider`: how many workers a fleet wants now. KEDA's scaler, the agent and the CLI ask it.

    signals ──┐
              ├─► decide() ─► decision ─► remembered
    memory ───┘                  └─ unreadable? the last good one is held, then it is an error

Whoever asks within a second is told the same (`fresh_for`), and whoever asks while it is being
decided waits for that: many callers cost one reading. What is not read within `budget` counts as
unreadable, so that no caller ever hangs.

Weakness: a decision that is held comes from this process when the store is gone. Replicas that
decided last at different moments may hold different ones for that time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from octoqueue.errors import FleetUnknown, SignalsUnreadable, StoreError
from octoqueue.fleet.holding import LastGood
from octoqueue.metrics.scaling_memory import mark_of
from octoqueue.metrics.signals import snapshot_from
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.load import lead_of
from octoqueue.scaling.wishes import wish_changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.metrics.scaling_memory import Remembered, ScalingMemory
    from octoqueue.metrics.signals import ReadsSignals
    from octoqueue.primitives.signals import FleetSnapshot, SignalReading
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.scaling.wishes import Lead, Wish

T = TypeVar("T")

log = logging.getLogger(__name__)

BUDGET = timedelta(seconds=2)
HOLD = timedelta(seconds=120)
FRESH_FOR = timedelta(seconds=1)
_REMEMBERED_EVERY_SECONDS = 10.0
_HOPELESS_SECONDS, _HOPELESS_LEADS = 600.0, 3
"""A wish that is open for longer than both is one that nobody fulfils."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A decision with what it stands on."""

    decision: Decision
    snapshot: FleetSnapshot | None
    """None when the decision is held because there is none."""
    remembered: Remembered | None
    held_seconds: float | None = None
    """How old the decision is that is held; None when it is a new one."""


class DecisionWatch(Protocol):
    """Who wants to know what is decided, to count it. It must not raise."""

    def decided(self, decision: Decision, snapshot: FleetSnapshot) -> None:
        """A decision was made."""
        ...

    def held(self, decision: Decision) -> None:
        """Nothing could be read, and an older decision is answered."""
        ...

    def unreadable(self, fleet: str) -> None:
        """Nothing could be read, and there is nothing to answer."""
        ...

    def came_true(self, fleet: str, lead: Lead) -> None:
        """A wish for more workers came true, and nobody had said so before."""
        ...


class FleetDecider:
    """Decides for the fleets of a configuration. Of one event loop; close it in the end."""

    def __init__(
        self,
        store: ReadsSignals,
        memory: ScalingMemory,
        policies: Mapping[str, ScalingPolicy],
        *,
        budget: timedelta = BUDGET,
        hold: timedelta = HOLD,
        fresh_for: timedelta = FRESH_FOR,
        remembers: bool = True,
        watch: DecisionWatch | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Decide by `policies`.

        Args:
            store: where the signals are; it stays the caller's, as the memory does.
            memory: what scaling remembers.
            policies: by fleet.
            budget: what reading may take.
            hold: for how long the last good decision is answered while nothing can be read.
            fresh_for: for how long a decision is answered again without reading; one that is held,
                and an error, for a second at most.
            remembers: False for who only looks: nothing is written, and nothing logged.
            watch: is told of what is decided.
            clock: for tests.
        """
        self.policies = policies
        self._store = store
        self._memory = memory
        self._budget_seconds = budget.total_seconds()
        self._fresh_seconds = fresh_for.total_seconds()
        self._remembers = remembers
        self._watch = watch
        self._clock = clock or SystemClock()
        self._good = LastGood(hold=hold)
        self._looks: dict[str, tuple[float, Look | SignalsUnreadable]] = {}
        self._flights: dict[str, asyncio.Task[Look]] = {}
        self._leads: dict[str, float] = {}
        self._unremembered: set[str] = set()
        self._blind: set[str] = set()

    async def decide(self, fleet: str) -> Decision:
        """Return how many workers a fleet wants.

        Raises:
            FleetUnknown: it is not configured.
            SignalsUnreadable: nothing could be read in time, for longer than a decision is held.
        """
        return (await self.look(fleet)).decision

    async def look(self, fleet: str) -> Look:
        """Return a decision with what it stands on; raises like `decide`."""
        policy = self.policy_of(fleet)
        known = self._looks.get(fleet)
        if known is not None and self._clock.monotonic() < known[0]:
            if isinstance(known[1], SignalsUnreadable):
                raise known[1].with_traceback(None)
            return known[1]
        flight = self._flights.get(fleet)
        if flight is None:
            flight = asyncio.create_task(self._look(policy), name=f"decide {fleet}")
            self._flights[fleet] = flight
            flight.add_done_callback(lambda done: self._landed(fleet, done))
        return await asyncio.shield(flight)  # who asked first may go away

    def policy_of(self, fleet: str) -> ScalingPolicy:
        """Return what is configured for a fleet.

        Raises:
            FleetUnknown: it is not configured; names those that are, and the nearest.
        """
        policy = self.policies.get(fleet)
        if policy is None:
            known = sorted(self.policies)
            near = get_close_matches(fleet, known, n=1)
            raise FleetUnknown(fleet, known=known, nearest=near[0] if near else None)
        return policy

    async def aclose(self) -> None:
        """End what is being decided. Idempotent."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _landed(self, fleet: str, flight: asyncio.Task[Look]) -> None:
        self._flights.pop(fleet, None)
        if not flight.cancelled():
            flight.exception()  # all who asked may have gone away

    # ── one look ─────────────────────────────────────────────────────────────────────────────────

    async def _look(self, policy: ScalingPolicy) -> Look:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._budget_seconds
        outcome: Look | SignalsUnreadable
        try:
            outcome = await self._fresh_look(policy, deadline)
        except SignalsUnreadable as error:
            outcome = self._held_look(policy.fleet, error)
            if self._remembers and policy.fleet not in self._blind:
                self._blind.add(policy.fleet)
                extra = {"fleet": policy.fleet, "reason": error.reason}
                log.warning("signals_unreadable", extra=extra)
        else:
            if policy.fleet in self._blind:
                self._blind.discard(policy.fleet)
                log.info("signals_readable_again", extra={"fleet": policy.fleet})
        fresh_seconds = self._fresh_seconds
        if isinstance(outcome, SignalsUnreadable) or outcome.held_seconds is not None:
            fresh_seconds = min(fresh_seconds, FRESH_FOR.total_seconds())
        self._looks[policy.fleet] = (self._clock.monotonic() + fresh_seconds, outcome)
        if isinstance(outcome, SignalsUnreadable):
            raise outcome
        return outcome

    async def _fresh_look(self, policy: ScalingPolicy, deadline: float) -> Look:
        remembered, reading = await self._read(policy, deadline)
        self._leads[policy.fleet] = _ahead_seconds(policy, remembered)
        snapshot = snapshot_from(
            reading,
            policy.fleet,
            forecast=remembered.forecast,
            lead_seconds=remembered.lead_seconds,
        )
        snapshot = replace(snapshot, wanted_since=_hopeful(policy, remembered))
        decision = decide(
            snapshot,
            policy,
            now_ms=max(reading.taken_at_ms, remembered.now_ms),
            override=remembered.override,
            last_active_at_ms=remembered.active_at_ms,
        )
        self._good.learn(decision, now=self._clock.monotonic())
        if self._watch is not None:
            self._watch.decided(decision, snapshot)
        if self._remembers:
            await self._remember(policy, decision, snapshot, remembered, deadline)
        return Look(decision=decision, snapshot=snapshot, remembered=remembered)

    async def _read(
        self, policy: ScalingPolicy, deadline: float
    ) -> tuple[Remembered, SignalReading]:
        """Read memory and signals at the same time.

        Raises:
            SignalsUnreadable: one of them was not there in time; says why.
        """
        fleet = policy.fleet
        recalling = asyncio.create_task(self._memory.recall(fleet))
        begun: list[asyncio.Task[Any]] = [recalling]
        try:
            if fleet not in self._leads:  # how far to look ahead is in there
                await asyncio.wait([recalling], timeout=_left(deadline))
                if recalling.done() and not recalling.exception():
                    self._leads[fleet] = _ahead_seconds(policy, recalling.result())
            ahead = timedelta(seconds=self._leads.get(fleet, policy.start_up_seconds))
            reading = asyncio.create_task(
                self._store.read_signals(policy.queues, due_within=ahead, fleet=fleet)
            )
            begun.append(reading)
            await asyncio.wait(begun, timeout=_left(deadline))
            remembered = self._told(policy, recalling, "what scaling remembers")
            self._learn(remembered)
            return remembered, self._told(policy, reading, "the store")
        finally:
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    def _told(self, policy: ScalingPolicy, task: asyncio.Task[T], what: str) -> T:
        """Return what a task returned; raises SignalsUnreadable when there is nothing."""
        if not task.done():
            reason = f"{what} did not answer within {self._budget_seconds:g} s"
            raise SignalsUnreadable(policy.fleet, reason=reason)
        error = task.exception()
        if isinstance(error, StoreError):
            raise SignalsUnreadable(policy.fleet, reason=str(error)) from error
        return task.result()

    def _learn(self, remembered: Remembered) -> None:
        """Let a decision of another replica be held here, too."""
        if remembered.decision is not None:
            age = (remembered.now_ms - remembered.decision.at_ms) / 1000
            now = self._clock.monotonic()
            self._good.learn(remembered.decision, now=now, age_seconds=age)

    def _held_look(self, fleet: str, error: SignalsUnreadable) -> Look | SignalsUnreadable:
        now = self._clock.monotonic()
        held = self._good.held(fleet, now=now, reason=error.reason)
        if held is not None:
            if self._watch is not None:
                self._watch.held(held.decision)
            return Look(
                decision=held.decision,
                snapshot=None,
                remembered=None,
                held_seconds=held.age_seconds,
            )
        if self._watch is not None:
            self._watch.unreadable(fleet)
        return SignalsUnreadable(
            fleet, reason=error.reason, held_for_seconds=self._good.spent(fleet)
        )

    async def _remember(
        self,
        policy: ScalingPolicy,
        decision: Decision,
        snapshot: FleetSnapshot,
        remembered: Remembered,
        deadline: float,
    ) -> None:
        """Keep the decision if it says anything new. A failure is told, and no reason to fail."""
        changes = wish_changes(
            remembered.wishes,
            wanted=decision.workers,
            workers=[worker for worker in snapshot.workers if worker.fleet in {policy.fleet, ""}],
            now_ms=decision.at_ms,
        )
        if not changes and not self._is_news(policy, decision, remembered):
            return
        try:
            async with asyncio.timeout(_left(deadline)):
                kept = await self._memory.remember(decision, changes)
        except (StoreError, TimeoutError) as error:
            if policy.fleet not in self._unremembered:
                self._unremembered.add(policy.fleet)
                extra = {"fleet": policy.fleet, "reason": str(error) or "no answer in time"}
                log.warning("decision_not_remembered", extra=extra)
            return
        self._unremembered.discard(policy.fleet)
        if self._watch is not None:
            for lead in kept.came_true:
                self._watch.came_true(policy.fleet, lead)

    def _is_news(self, policy: ScalingPolicy, decision: Decision, remembered: Remembered) -> bool:
        last = remembered.decision
        if last is None or mark_of(last) != mark_of(decision):
            return True
        age = (decision.at_ms - last.at_ms) / 1000
        spans = (self._good.hold_seconds / 4, policy.active_for_seconds / 4)
        often = min((_REMEMBERED_EVERY_SECONDS, *(span for span in spans if span > 0)))
        return not 0 <= age < often


def _ahead_seconds(policy: ScalingPolicy, remembered: Remembered) -> float:
    """Return within what time delayed messages count: until a new worker would be ready."""
    return lead_of(policy, remembered.lead_seconds)


def _hopeful(policy: ScalingPolicy, remembered: Remembered) -> tuple[Wish, ...]:
    """Return the wishes that may still come true: workers nobody starts must not count as coming.

    A cluster without room starts none, and an autoscaler none above its own maximum.
    """
    longest = max(_HOPELESS_SECONDS, _HOPELESS_LEADS * _ahead_seconds(policy, remembered))
    oldest_ms = remembered.now_ms - longest * 1_000
    return tuple(wish for wish in remembered.wishes if wish.since_ms >= oldest_ms)


def _left(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())
