"""Depth: so many messages a worker.

    workers = ceil((waiting + in flight + due within the lead) / messages per worker)

What runs counts, as a fleet that is busy with what it has claimed is not idle. Weakness: the target
stands for no waiting time; how long messages wait depends on how long they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.scaling.demand import Demand, number, several, whole_workers

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import DepthTarget


def demand_by_depth(load: Load, target: DepthTarget) -> Demand:
    """Return the workers that the messages in the system take."""
    parts = [f"{number(sum(load.waiting))} wait", f"{number(load.in_flight)} run"]
    if load.due_soon:
        parts.append(f"{number(load.due_soon)} are due within {number(load.lead_seconds)} s")
    return Demand(
        rule="depth",
        workers=whole_workers(load.in_system / target.messages_per_worker),
        reason=f"{several(load.in_system, 'message')} ({', '.join(parts)}) at "
        f"{number(target.messages_per_worker)} a worker{left_out_words(load)}",
    )


def left_out_words(load: Load) -> str:
    """Return what to add to a reason when there is more that waits than counts."""
    words = ""
    if load.paused:
        names = ", ".join(load.paused)
        words += f"; {number(load.paused_waiting)} that wait in {names} (paused) demand nothing"
    if load.held_back:
        words += (
            f"; {number(load.held_back)} that wait for a tenant's turn, a cap or a limit demand "
            f"nothing"
        )
    return words
