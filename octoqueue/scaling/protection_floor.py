"""Protection: workers that would lose much are not given up while they run.

Time counts by the message: added up over the slots of a worker, many short messages, which a drain
lets finish, would look like a long one, and a busy fleet would never shrink. Cost is added up.
Whoever is draining is given up already and does not count: on Kubernetes a terminating pod is no
replica any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.primitives.signals import Presence
    from octoqueue.scaling.policy import Protection


def is_protected(worker: Presence, protection: Protection) -> bool:
    """Return whether a worker is not to be given up now."""
    if worker.is_draining:
        return False
    if protection.busy and worker.running > 0:
        return True
    seconds, cost = protection.at_risk_seconds, protection.at_risk_cost
    return (seconds is not None and worker.at_risk_longest_seconds >= seconds) or (
        cost is not None and worker.at_risk_cost >= cost
    )


def protected_workers(workers: Iterable[Presence], protection: Protection) -> tuple[Presence, ...]:
    """Return those that are not to be given up now."""
    return tuple(worker for worker in workers if is_protected(worker, protection))
