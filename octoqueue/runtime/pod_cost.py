"""`PodCost`: tells Kubernetes what deleting this worker's pod would cost, when that changes.

It looks once a second at what the worker knows anyway, and writes the annotation when the worker
becomes busy or idle and when what is at risk has doubled, with at least `every` between two writes
(`scaling/deletion_cost`). Nothing waits for it and nothing it meets reaches the worker: a refusal
is logged once, with the rule that is missing, and tried again an hour later; anything else after a
wait that doubles, with jitter.

Kubernetes reads the annotation when it shrinks the set, best effort: what changed within the last
seconds may be missed. Sets with an order of their own (StatefulSet) do not look at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from typing import TYPE_CHECKING, Final

from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.runtime.pod_patch import PodNotPatchedError, PodPatch
from octoqueue.scaling.deletion_cost import Pace, deletion_cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.runtime.presence import AtRisk
    from octoqueue.settings.kubernetes import KubernetesSettings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
REFUSED_SECONDS: Final = 3_600.0
"""How long a refusal is taken for an answer."""
BUDGET_SECONDS: Final = 5.0
"""What one write may take."""
_FIRST_WAIT_SECONDS: Final = 5.0
_LONGEST_WAIT_SECONDS: Final = 300.0


class PodCost:
    """Keeps the annotation of one pod true."""

    def __init__(
        self,
        patch: PodPatch,
        *,
        running: Callable[[], int],
        at_risk: Callable[[], AtRisk],
        pace: Pace | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            patch: writes it.
            running: how many messages run now.
            at_risk: what would be lost now.
            pace: how often it may be written.
            clock: for tests.
            rng: for tests.
        """
        self._patch = patch
        self._running = running
        self._at_risk = at_risk
        self._pace = pace or Pace()
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - spreads writes, no secret
        self._said: int | None = None
        self._said_at = self._not_before = -float("inf")
        self._failures = 0
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """End, whatever is under way. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("pod_cost_failed")
                self._wait(_LONGEST_WAIT_SECONDS)
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """Write what is true now, if that is due."""
        now = self._clock.monotonic()
        wanted = self._wanted()
        since_seconds = now - self._said_at
        if now < self._not_before or not self._pace.is_due(
            wanted, self._said, since_seconds=since_seconds
        ):
            return
        self._said_at = now
        try:
            async with asyncio.timeout(BUDGET_SECONDS):
                await self._patch.say(wanted)
        except TimeoutError:
            self._note(PodNotPatchedError("timeout", f"no answer in {BUDGET_SECONDS:g} s"))
        except PodNotPatchedError as error:
            self._note(error)
        else:
            self._said, self._failures = wanted, 0
            self._told.clear()

    def _wanted(self) -> int:
        risk = self._at_risk()
        return deletion_cost(
            running=self._running(), at_risk_seconds=risk.seconds, at_risk_cost=risk.cost
        )

    def _note(self, error: PodNotPatchedError) -> None:
        self._said = None  # it may have been written all the same
        if error.kind not in self._told:
            self._told.add(error.kind)
            log.warning("pod_cost_not_written", extra={"reason": str(error)})
        if error.is_final:
            self._wait(REFUSED_SECONDS)
            return
        doubled = _FIRST_WAIT_SECONDS * 2.0 ** min(self._failures, 10)
        self._failures += 1
        wait_seconds = min(doubled, _LONGEST_WAIT_SECONDS) * self._rng.uniform(0.5, 1.0)
        self._wait(max(wait_seconds, error.retry_after_seconds, self._pace.every_seconds))

    def _wait(self, seconds: float) -> None:
        self._not_before = self._clock.monotonic() + seconds


def pod_cost_of(
    settings: KubernetesSettings,
    *,
    running: Callable[[], int],
    at_risk: Callable[[], AtRisk],
    is_alone: bool,
) -> PodCost | None:
    """Return what keeps the annotation of this process's pod; None when it is not to be kept.

    Args:
        settings: whether, and where.
        running: how many messages run now.
        at_risk: what would be lost now.
        is_alone: whether no other worker process of ours is in the pod: they would overwrite each
            other's number.
    """
    wish = settings.pod_deletion_cost
    if wish == "off" or (wish == "auto" and not (settings.service_account / "token").is_file()):
        return None
    if not is_alone:
        if wish == "on":
            reason = "it takes one worker process a pod"
            log.warning("pod_cost_not_written", extra={"reason": reason})
        return None
    return PodCost(
        PodPatch(settings),
        running=running,
        at_risk=at_risk,
        pace=Pace(every_seconds=settings.every.total_seconds()),
    )
