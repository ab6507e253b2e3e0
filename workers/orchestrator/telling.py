"""What steps are told of each other, and what a caller is told in the end. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from workers.forms import Given, Result
from workers.screening.verdicts import screening_told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.models.replies import PlannedStep
    from workers.forms import ComplexityName, OutputScreening, Review, Screening
    from workers.orchestrator.graph import Graph

TOLD_CHARACTERS: Final = 4_000
"""Of each result that a step is told of; a model that reads more of it asks for it in a plan."""
_TEXTS: Final = ("answer", "stdout", "code")
"""Where the arms' outputs hold what reads as text."""


def given_to(step: PlannedStep, *, graph: Graph, results: Mapping[str, Result]) -> list[Given]:
    """Return what a step is told of those it needs, in the order of its plan."""
    return [
        Given(
            step=name,
            arm=graph.steps[name].arm,
            summary=results[name]["summary"],
            text=text_of(results[name]),
        )
        for name in step.needs
    ]


def text_of(result: Result) -> str:
    """Return what of a result reads as text, cut where it is long."""
    output = result["output"]
    for name in _TEXTS:
        if isinstance(text := output.get(name), str) and text:
            return text[:TOLD_CHARACTERS]
    return _points_of(output)[:TOLD_CHARACTERS]


def without_output(result: Result) -> Result:
    """Return a result for whoever only weighs its checks."""
    return Result(summary=result["summary"], output={}, checks=result["checks"])


def outcome_of(
    *,
    graph: Graph,
    complexity: ComplexityName,
    reason: str,
    results: Mapping[str, Result],
    review: Review,
    incoming: Screening,
    outgoing: OutputScreening,
    repairs: int,
) -> dict[str, Any]:
    """Return what the task's row keeps: the result of the last step, and how it came to be."""
    last = results[graph.last.id]
    return {
        "arm": graph.last.arm,
        "summary": last["summary"],
        "output": outgoing.get("output", last["output"]),
        "checks": last["checks"],
        "review": {"remark": review["remark"], "model": review["model"]},
        "plan": {
            "complexity": complexity,
            "reason": reason,
            "steps": [
                {
                    "id": step.id,
                    "arm": step.arm,
                    "needs": list(step.needs),
                    "summary": results[step.id]["summary"],
                }
                for step in graph.steps.values()
            ],
        },
        "screening": screening_told(incoming, outgoing),
        "repairs": repairs,
    }


def _points_of(output: Mapping[str, Any]) -> str:
    """Return the guardian's checklists, a line a point."""
    lists = cast("list[dict[str, Any]]", output.get("checklists") or [])
    return "\n".join(
        line
        for each in lists
        for line in (f"{each.get('topic')}:", *cast("list[str]", each.get("points") or []))
    )
