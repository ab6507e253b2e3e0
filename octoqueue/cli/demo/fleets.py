"""The fleets of a demonstration: windows short enough to watch, and what became of their sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from octoqueue.fleet.agent import FleetAgent
from octoqueue.primitives.clock import Clock
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling_rules import BehaviorSettings, DirectionSettings

EVERY: Final = timedelta(seconds=1)
DOWN_WINDOW: Final = timedelta(seconds=5)
_PERIOD: Final = timedelta(seconds=2)
_AT_ONCE: Final = 2
_ALL: Final = 100
_LOOK_EVERY_SECONDS: Final = 0.2

SHORTENED: Final = (
    f"decided every {EVERY.seconds} s instead of 5 s, "
    f"shrunk after {DOWN_WINDOW.seconds} s instead of 5 min"
)
"""What is not as it is by default, in words."""

_BEHAVIOR: Final = BehaviorSettings(
    up=DirectionSettings(window=timedelta(0), workers=_AT_ONCE, workers_period=_PERIOD),
    down=DirectionSettings(window=DOWN_WINDOW, percent=_ALL, percent_period=_PERIOD),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """A fleet became larger or smaller."""

    after_seconds: float
    """Since the first task went in."""
    fleet: str
    before: int
    after: int
    reason: str


def quickened(settings: Settings) -> Settings:
    """Return the settings with fleets that grow and shrink within seconds."""
    fleets = {
        name: fleet.model_copy(
            update={"scaling": fleet.scaling.model_copy(update={"behavior": _BEHAVIOR})}
        )
        if "scaling" in fleet.model_fields_set
        else fleet
        for name, fleet in settings.fleets.items()
    }
    agent = settings.agent.model_copy(update={"every": EVERY})
    return settings.model_copy(update={"fleets": fleets, "agent": agent})


def sizes_of(agent: FleetAgent | None) -> Mapping[str, int]:
    """Return how many workers each fleet has, those that drain not counted."""
    return {} if agent is None else {name: crew.size for name, crew in agent.crews.items()}


def resized_by(agent: FleetAgent | None, *, since_ms: int) -> tuple[Resized, ...]:
    """Return what an agent has changed, the first first."""
    resizes: Sequence[Resized] = [
        Resized(
            after_seconds=max(0, each.at_ms - since_ms) / 1000,
            fleet=each.fleet,
            before=each.before,
            after=each.after,
            reason=each.reason,
        )
        for each in (() if agent is None else agent.resizer.resizes)
    ]
    return tuple(resizes)


async def shrink(agent: FleetAgent, *, within: timedelta, clock: Clock) -> bool:
    """Return when all fleets are as small as they may be; False when that takes longer."""
    deadline = clock.monotonic() + within.total_seconds()
    while any(crew.size > crew.fleet.least for crew in agent.crews.values()):
        if clock.monotonic() > deadline:
            return False
        await clock.sleep(_LOOK_EVERY_SECONDS)
    return True
