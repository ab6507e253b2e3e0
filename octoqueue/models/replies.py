"""From the text of an answer to a value. Every form but prose is one JSON object.

    plan       {"steps": [{"id": "program", "arm": "coder", "ask": "…", "needs": ["known"]}, …],
                "complexity": "medium", "reason": "…"}          ask empty: the goal itself
    command    {"argv": ["ls", "-la", "/tmp"], "reason": "…"}       argv null: no command does it
    code       {"code": "…", "check": "…", "remark": "…"}           check: raises when code is wrong
    review     {"accepted": true, "remark": "…", "findings": ["…"]}      findings: what to mend

Models like to wrap JSON in a fence; that is forgiven. Nothing else is.
"""

# ruff: noqa: TC003 - pydantic reads annotations at run time

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from octoqueue.errors import ReplyUnusable

if TYPE_CHECKING:
    from octoqueue.models.protocol import Completion

ReplyT = TypeVar("ReplyT")


Complexity = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """What one arm is to do."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    """Names it within its plan."""
    arm: str
    ask: str = ""
    """What is asked of the arm; empty for the goal itself."""
    needs: tuple[str, ...] = ()
    """The steps whose results it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which arms work on a goal, and who waits for whom.

    Whether the steps make a graph that can be run is checked by who runs it.
    """

    steps: Annotated[tuple[PlannedStep, ...], Field(min_length=1)]
    complexity: Complexity = "medium"
    reason: str = ""

    @property
    def arm(self) -> str:
        """The arm of the last step that no other needs: whose result is that of the plan."""
        needed = {name for step in self.steps for name in step.needs}
        last = [step.arm for step in self.steps if step.id not in needed]
        return last[-1] if last else self.steps[-1].arm


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandChoice:
    """Which command does what a goal asks."""

    argv: Annotated[tuple[str, ...], Field(min_length=1)] | None
    """None when none does."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A program."""

    code: Annotated[str, Field(pattern=r"\S")]
    check: str = ""
    """Runs after `code`, in the same file; raises when the code is wrong. Empty for none."""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Whether a result serves its goal."""

    accepted: bool
    remark: str = ""
    findings: tuple[str, ...] = ()
    """What is to be mended; empty when it is accepted."""


_PLAN = TypeAdapter(Plan)
_COMMAND = TypeAdapter(CommandChoice)
_CODE = TypeAdapter(Code)
_REVIEW = TypeAdapter(Review)


def plan_from(completion: Completion, *, choices: Sequence[str]) -> Plan:
    """Return the plan in an answer.

    Raises:
        ReplyUnusable: it has another form, or names an arm that was no choice.
    """
    plan = _read(completion, _PLAN, purpose="plan")
    for step in plan.steps:
        if step.arm not in choices:
            listed = ", ".join(choices)
            raise ReplyUnusable(
                completion.model, purpose="plan", reason=f"arm {step.arm!r} is none of {listed}"
            )
    return plan


def command_from(completion: Completion) -> CommandChoice:
    """Return the command in an answer.

    Raises:
        ReplyUnusable: it has another form.
    """
    return _read(completion, _COMMAND, purpose="command")


def code_from(completion: Completion) -> Code:
    """Return the program in an answer.

    Raises:
        ReplyUnusable: it has another form, or there is no code.
    """
    return _read(completion, _CODE, purpose="code")


def review_from(completion: Completion) -> Review:
    """Return the review in an answer.

    Raises:
        ReplyUnusable: it has another form.
    """
    return _read(completion, _REVIEW, purpose="review")


def _read(completion: Completion, form: TypeAdapter[ReplyT], *, purpose: str) -> ReplyT:
    text = completion.text.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    try:
        return form.validate_json(text, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise ReplyUnusable(completion.model, purpose=purpose, reason=reason) from None
