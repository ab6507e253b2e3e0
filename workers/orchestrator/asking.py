"""Whom the workflow asks: arms by name, for another program declares them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Arm:
    """An actor of another program."""

    queue_name: str
    actor_name: str


MAKE_PLAN: Final = Arm("planner", "make_plan")
SCREEN_GOAL: Final = Arm("guardian", "screen_goal")
SCREEN_RESULT: Final = Arm("guardian", "screen_result")
REVIEW: Final = Arm("judge", "review")

WORKING: Final[Mapping[str, Arm]] = MappingProxyType(
    {
        "executor": Arm("executor", "run_command"),
        "coder": Arm("coder", "write_program"),
        "guardian": Arm("guardian", "analyze_security"),
        "retriever": Arm("retriever", "look_up"),
    }
)
"""Whom a plan may choose."""

HARMLESS: Final = ("guardian", "retriever")
"""Whom a plan may choose for a goal that gives orders to the model: nothing is run for it."""
