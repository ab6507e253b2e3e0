"""What would be lost with a worker now: running time, and what it cost. Pure.

It is added up when somebody asks, from what attempts know of themselves; running one costs nothing
more for it. A message that waits for a thread or for its batch has nothing to lose, and neither has
one that is being stopped. The messages of a batch share one call, whose time counts once: since the
oldest of their checkpoints.

Weakness: an async actor that has never waited for anything is not known to run. One that computes
on the event loop from its first instruction is told by the heartbeat, as a loop that is blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.checkpoints import ventured_by
from octoqueue.runtime.presence import AtRisk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from octoqueue.runtime.attempt import Attempt


def at_risk_of(
    attempts: Iterable[Attempt], *, now: float, call_of: Callable[[Attempt], object | None]
) -> AtRisk:
    """Return what the attempts would lose together.

    Args:
        attempts: what runs.
        now: seconds on the clock that attempts began on.
        call_of: what stands for the call that an attempt shares with others; None: it shares none.
    """
    seconds = cost = longest = 0.0
    shared: dict[object, float] = {}
    for attempt in attempts:
        began = attempt.entered
        if began is None or attempt.is_unwanted:
            continue
        since, spent = ventured_by(attempt.context)
        cost += spent
        lost = max(0.0, now - (began if since is None else max(began, since)))
        longest = max(longest, lost)
        call = None if attempt.options.batch is None else call_of(attempt)
        if call is None:
            seconds += lost
        else:
            shared[call] = max(lost, shared.get(call, 0.0))
    return AtRisk(seconds + sum(shared.values()), cost, longest)
