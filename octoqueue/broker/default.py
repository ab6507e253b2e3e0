"""The process-wide broker, for programs that need only one.

It is made when first asked for and connects when first used. When dramatiq has no global broker
yet, it becomes that too, so that `@dramatiq.actor` and the stock command line find it.
"""

from __future__ import annotations

import threading

import dramatiq.broker

from octoqueue.broker.lane_broker import LaneBroker

_lock = threading.Lock()
_chosen: list[LaneBroker] = []


def default_broker() -> LaneBroker:
    """Return the process-wide broker, making it when there is none."""
    with _lock:
        current = dramatiq.broker.global_broker
        if isinstance(current, LaneBroker):
            return current
        if not _chosen:
            _chosen.append(LaneBroker())
        if current is None:
            dramatiq.set_broker(_chosen[0])
        return _chosen[0]


def use_broker(broker: LaneBroker) -> None:
    """Make `broker` the process-wide one, for octoqueue and for dramatiq."""
    with _lock:
        _chosen[:] = [broker]
        dramatiq.set_broker(broker)
