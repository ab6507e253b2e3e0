"""What passes between the workflow and the arms, as JSON.

An arm is asked with `goal`, `given` (what the steps before it found) and `findings` (what was wrong
with the try before), and answers with a `Result`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

ComplexityName = Literal["low", "medium", "high"]


class Check(TypedDict):
    """One thing an arm found out about its own result; the judge rests on them."""

    name: str
    passed: bool
    detail: str


class Refusal(TypedDict):
    """Why an arm will not do what is asked, however often it is asked."""

    code: str
    """A short constant for programs: `no_command`, `command_refused`."""
    message: str


class Result(TypedDict):
    """What an arm found or made, and what a caller gets in the end."""

    summary: str
    """One sentence."""
    output: dict[str, Any]
    """What the arm has to show, in its own form."""
    checks: list[Check]
    refusal: NotRequired[Refusal]


class Given(TypedDict):
    """What an arm is told of a step that it needs."""

    step: str
    arm: str
    summary: str
    text: str
    """The part of its output that reads as text, cut where it is long."""


def material_of(given: Sequence[Given]) -> str:
    """Return what the steps before found, as text for a model."""
    return "\n\n".join(each["text"] for each in given if each["text"])


class PlanStep(TypedDict):
    """One step of a plan."""

    id: str
    arm: str
    ask: str
    needs: list[str]


class Plan(TypedDict):
    """What the planner answers."""

    steps: list[PlanStep]
    complexity: ComplexityName
    reason: str
    model: str


class Found(TypedDict):
    """One finding of the guardian; its excerpt shows the kind of thing, not the thing."""

    rule: str
    family: str
    severity: str
    excerpt: str


class Screening(TypedDict):
    """What the guardian says about a goal."""

    risk: str
    findings: list[Found]
    steers: bool
    """Whether it tries to give orders to a model. Then nothing is run for it."""


class OutputScreening(TypedDict):
    """What the guardian says about a result."""

    risk: str
    findings: list[Found]
    output: NotRequired[dict[str, Any]]
    """With secrets masked; absent when there were none."""


class Review(TypedDict):
    """What the judge says about a result."""

    accepted: bool
    remark: str
    findings: list[str]
    """What is to be mended."""
    model: str
