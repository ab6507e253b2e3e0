"""Whom the workflow asks: arms by name, because other programs declare them.

What an arm answers is JSON in one of the forms of `workers.forms`; its type is known to type
checkers only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from octoqueue.errors import WorkflowMisused
from workers.forms import OutputScreening, Plan, Result, Review, Screening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.forms import ComplexityName

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question(Generic[Answer]):
    """A message for an arm, built and not sent."""

    queue_name: str
    actor_name: str
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    args: tuple[Any, ...] = ()

    async def result(self) -> Answer:
        """Say of which type the answer is; nobody calls it.

        Raises:
            WorkflowMisused: somebody did.
        """
        raise WorkflowMisused("a step's answer comes from await ctx.call(...)")


@dataclass(frozen=True, slots=True)
class Arm(Generic[Answer]):
    """An actor of another program, as something that a workflow may call."""

    queue_name: str
    actor_name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def at(self, complexity: ComplexityName) -> Arm[Answer]:
        """Return the arm with what steps of that complexity are given."""
        return replace(self, options={**self.options, "complexity": complexity})

    def message(self, **kwargs: object) -> Question[Answer]:
        """Build a message without sending it."""
        return Question(
            queue_name=self.queue_name,
            actor_name=self.actor_name,
            kwargs=kwargs,
            options=self.options,
        )


MAKE_PLAN: Final[Arm[Plan]] = Arm("planner", "make_plan")
SCREEN_GOAL: Final[Arm[Screening]] = Arm("guardian", "screen_goal")
SCREEN_RESULT: Final[Arm[OutputScreening]] = Arm("guardian", "screen_result")
REVIEW: Final[Arm[Review]] = Arm("judge", "review")
GIVE_UP: Final[Arm[None]] = Arm("admin", "give_up_task")
"""Fails the row of a task whose workflow ends otherwise than by itself."""

WORKING: Final[Mapping[str, Arm[Result]]] = MappingProxyType(
    {
        "executor": Arm("executor", "run_command"),
        "coder": Arm("coder", "write_program"),
        "guardian": Arm("guardian", "analyze_security"),
        "retriever": Arm("retriever", "look_up"),
    }
)
"""Whom a plan may choose."""
