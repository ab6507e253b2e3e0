"""How fleets share a machine that has no room for all they want. Pure.

Max-min fairness (Bertsekas and Gallager, Data Networks, section 6.5.2): each fleet has its minimum
in any case; what is left is dealt one by one to the fleet that has the least and wants more. So no
fleet can get more except from one that has less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What one fleet asks for."""

    fleet: str
    least: int
    """It gets so many, or what it wants if that is less, whatever the room."""
    wanted: int


def shares(wants: Sequence[Want], *, room: int) -> Mapping[str, int]:
    """Return how many workers each fleet gets of `room`; of equals the first gets more."""
    granted = {want.fleet: min(want.least, want.wanted) for want in wants}
    left = room - sum(granted.values())
    while left > 0:
        short = [want for want in wants if granted[want.fleet] < want.wanted]
        if not short:
            break
        poorest = min(short, key=lambda want: granted[want.fleet])
        granted[poorest.fleet] += 1
        left -= 1
    return granted
