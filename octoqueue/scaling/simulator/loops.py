"""The loops that turn what a rule wants into the size of a fleet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from octoqueue.scaling.simulator.fleets import FleetModel


class Loop(Protocol):
    """What sizes a fleet at each sync."""

    def size(self, wanted: float | None, *, now_seconds: float, current: int) -> int:
        """Return the size from now on; `wanted` is None when it could not be read."""
        ...


class DirectLoop:
    """Does what the rule says, within bounds."""

    def __init__(self, model: FleetModel) -> None:
        """Take the bounds from the model."""
        self._least, self._most = model.min_workers, model.max_workers

    def size(
        self,
        wanted: float | None,
        *,
        now_seconds: float,  # noqa: ARG002 - it remembers nothing
        current: int,
    ) -> int:
        """Return what is wanted, rounded up; the current size when it could not be read."""
        if wanted is None:
            return current
        return min(max(math.ceil(wanted - 1e-9), self._least), self._most)
