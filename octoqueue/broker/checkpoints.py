"""What actors say of the work they would lose with their worker: `checkpoint` and `spent`.

Nothing is written anywhere; the worker tells it with its heartbeat, and scaling in gives up first
the workers that would lose least.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from octoqueue.broker.context import CURRENT, CURRENT_BATCH, NOTHING_VENTURED, Ventured
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from octoqueue.broker.context import MessageContext

_clock: Clock = SystemClock()
_telling = threading.Lock()
"""Held for a few instructions: several threads of an actor may spend."""


def checkpoint() -> None:
    """Say that what the running actor has done so far is safe: a retry would not do it again.

    A file is saved, a row committed, another message has taken over. What `spent` was told before
    is safe, too. In a batch actor it holds for all messages of the batch; outside an actor it does
    nothing.
    """
    now = _clock.monotonic()
    context = CURRENT.get()
    alone = () if context is None else (context,)
    with _telling:
        for each in CURRENT_BATCH.get() or alone:
            each.ventured = Ventured(now, 0.0)


def spent(cost: float) -> None:
    """Say what a retry of the running actor would cost again, beside time, in a unit of your own.

    It adds up until the next `checkpoint`. The setting
    `fleets.<name>.scaling.protection.at_risk_cost` is in the same unit. In a batch actor it is a
    cost of the whole call; outside an actor it does nothing.

    Raises:
        InvalidMessage: the cost is negative or no number.
    """
    if not 0 <= cost < math.inf:
        raise InvalidMessage("cost", f"{cost!r} is no amount of 0 or more")
    context = CURRENT.get()
    if context is not None:
        with _telling:
            since, so_far = ventured_by(context)
            context.ventured = Ventured(since, so_far + float(cost))


def ventured_by(context: MessageContext) -> Ventured:
    """Return what an attempt has told of checkpoints and costs."""
    return getattr(context, "ventured", NOTHING_VENTURED)
