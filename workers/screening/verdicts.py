"""What the rules say about a goal and about a result, in the forms of `workers.forms`. Pure.

The guardian answers a workflow with it. An arm that does a task by itself asks here in its own
process, because nobody else looks at that task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.forms import Found, OutputScreening, Result, Screening
from workers.screening.masking import masked
from workers.screening.patterns import Finding, findings_in, risk_of

if TYPE_CHECKING:
    from collections.abc import Sequence

STEERING: Final = frozenset({"prompt_injection", "prompt_extraction", "role_change"})
"""Rules for texts that give orders to a model instead of asking for something."""
HARMLESS: Final = ("guardian", "retriever")
"""Who may work for a goal that gives orders to the model: nothing is run for it."""
_TOLD: Final = 20
"""Findings told of a text; the risk is that of all."""


def goal_screened(goal: str) -> Screening:
    """Return what the rules say about a goal."""
    findings = findings_in(goal)
    return Screening(
        risk=risk_of(findings).label,
        findings=_told(findings),
        steers=any(finding.rule in STEERING for finding in findings),
    )


def result_screened(result: Result) -> OutputScreening:
    """Return what the rules say about a result, its output masked where it must be."""
    output, findings = masked(result["output"])
    screening = OutputScreening(risk=risk_of(findings).label, findings=_told(findings))
    if output is not result["output"]:
        screening["output"] = output
    return screening


def screening_told(incoming: Screening, outgoing: OutputScreening) -> dict[str, object]:
    """Return what a task's row keeps of both."""
    return {
        "goal": {"risk": incoming["risk"], "findings": incoming["findings"]},
        "result": {
            "risk": outgoing["risk"],
            "findings": outgoing["findings"],
            "masked": "output" in outgoing,
        },
    }


def _told(findings: Sequence[Finding]) -> list[Found]:
    return [
        Found(
            rule=finding.rule,
            family=finding.family.label,
            severity=finding.severity.label,
            excerpt=finding.excerpt,
        )
        for finding in findings[:_TOLD]
    ]
