"""Waiting in front of many slots: Erlang C, corrected for variability and for lanes.

Source of the formulas:

- Probability of waiting (Poisson arrivals, exponential service, c slots, offered load a in slots):
  Erlang C, by the recursion of Erlang B, 1/B(n) = 1 + (n / a) / B(n - 1), which needs no factorial.
- Given that one waits, the wait is exponential with mean s / (c - a): Kleinrock, Queueing Systems
  I (1975), section 3.5.
- Other service and arrival distributions: the mean wait is multiplied by (Ca² + Cs²) / 2, the
  Allen-Cunneen approximation: Allen, Probability, Statistics, and Queueing Theory (2nd ed. 1990).
  How good it is: Whitt, Approximations for the GI/G/m queue, Prod. Oper. Manag. 2 (1993), 114.
- Strict lanes, none of which interrupts what runs: given that one waits, the mean wait in lane k is
  s c / ((c - a<k)(c - a<=k)), a<k being what higher lanes offer: Cobham, Priority assignment in
  waiting line problems, Oper. Res. 2 (1954), 70-76. The distribution (Kella and Yechiali, Nav. Res.
  Logist. 32 (1985)) is exponential for the highest lane, and taken for exponential with that mean
  in the others.

One thing is ours: the correction counts in full only as far as the slots are saturated. It becomes
1 + (V - 1) u², u being how busy the lane and those above keep the slots: a lane that hardly ever
queues behind itself waits for the next completion, and those of many slots are nearly Poisson
whatever the service time. Simulated queues are met better so, for steady and for heavy-tailed
service (`tests/unit/scaling/test_erlang.py`).

Approximations: the probability of waiting is not corrected, tails of lower lanes are heavier than
exponential, all lanes take the same time to serve, arrivals are Poisson.

Every tail falls when slots are added and grows with every lane's arrivals, that of several lanes
together included, as Erlang C is convex in the load.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_SLOTS = 1_000_000
"""More than this is not computed: what needs more gets this many."""

_DEVIATIONS_BELOW = 12.0
_MOST_EXPONENT = 700.0


class Line(NamedTuple):
    """Messages that wait first in, first out."""

    share: float
    """Of the messages that a goal is about."""
    higher: float
    """Slots that those keep busy who are served first."""
    through: float
    """Slots that those and the line itself keep busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitGoal:
    """At most `tail` of the messages of some lines wait longer than `seconds`."""

    seconds: float
    tail: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What comes to the slots."""

    offered: float
    """Slots that it keeps busy on average: arrivals a second times mean service seconds."""
    service_seconds: float
    service_variation: float = 1.0
    """Squared coefficient of variation of the service time."""
    arrival_variation: float = 1.0
    """The same of the time between arrivals; 1 is Poisson."""

    @property
    def variability(self) -> float:
        """What mean waits are multiplied by: 1 for Poisson arrivals and exponential service."""
        return (self.arrival_variation + self.service_variation) / 2


def erlang_b(slots: int, offered: float) -> float:
    """Return the probability that all slots are busy when nothing may wait."""
    if offered <= 0:
        return 1.0 if slots == 0 else 0.0
    inverse = 1.0
    for busy in range(1, slots + 1):
        inverse = 1.0 + busy / offered * inverse
    return 1.0 / inverse


def erlang_c(slots: int, offered: float) -> float:
    """Return the probability that a message has to wait; 1 when the slots are too few."""
    if offered <= 0:
        return 0.0 if slots > 0 else 1.0
    if slots <= offered:
        return 1.0
    return _waiting(1.0 / _inverse_b(slots, offered), slots, offered)


def tail_of(goal: WaitGoal, slots: int, work: Work) -> float:
    """Return which share of the messages waits longer than the goal's seconds."""
    return _tail(goal, slots, erlang_c(slots, work.offered), work)


def least_slots(goals: Sequence[WaitGoal], work: Work) -> int:
    """Return the smallest number of slots that meets all goals and is not outrun by the work.

    Takes steps in the order of the square root of the load.
    """
    if work.offered <= 0:
        return 0
    if work.offered >= MOST_SLOTS:
        return MOST_SLOTS
    for slots, waiting in _from_stable(work.offered):
        if slots >= MOST_SLOTS or all(_tail(g, slots, waiting, work) <= g.tail for g in goals):
            return slots
    raise AssertionError  # pragma: no cover - the iterator has no end


def _from_stable(offered: float) -> Iterator[tuple[int, float]]:
    """Yield numbers of slots above the load, each with the probability of waiting."""
    slots = floor(offered) + 1
    inverse = _inverse_b(slots, offered)
    while True:
        yield slots, _waiting(1.0 / inverse, slots, offered)
        slots += 1
        inverse = 1.0 + slots / offered * inverse


def _inverse_b(slots: int, offered: float) -> float:
    """Return 1/B.

    It begins twelve standard deviations below the load, at the fixed point 1 / (1 - n / a): each
    step shrinks the error by n / a, so that by the time the load is reached exp(-72) of it is left.
    """
    first = min(max(floor(offered - _DEVIATIONS_BELOW * sqrt(offered)), 0), slots)
    inverse = 1.0 if first == 0 else 1.0 / (1.0 - first / offered)
    for busy in range(first + 1, slots + 1):
        inverse = 1.0 + busy / offered * inverse
    return inverse


def _waiting(blocked: float, slots: int, offered: float) -> float:
    """Return Erlang C from Erlang B."""
    return blocked / (1.0 - offered / slots * (1.0 - blocked))


def _tail(goal: WaitGoal, slots: int, waiting: float, work: Work) -> float:
    return sum(
        line.share * _line_tail(line, slots, waiting, goal.seconds, work) for line in goal.lines
    )


def _line_tail(line: Line, slots: int, waiting: float, seconds: float, work: Work) -> float:
    if slots <= line.through:
        return 1.0
    mean = work.service_seconds * slots / ((slots - line.higher) * (slots - line.through))
    saturated = (line.through / slots) ** 2
    mean *= 1.0 + (work.variability - 1.0) * saturated
    return waiting * exp(-min(seconds / mean, _MOST_EXPONENT))
