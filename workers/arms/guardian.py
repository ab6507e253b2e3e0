"""The guardian: screens what comes in and what goes out, and analyses the security of a goal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import octoqueue
from workers.forms import Found, Given, OutputScreening, Result, Screening
from workers.means import TIME_LIMIT
from workers.resources import lifespan_of
from workers.screening.checklists import checklists_for
from workers.screening.masking import masked
from workers.screening.patterns import Finding, findings_in, risk_of

if TYPE_CHECKING:
    from collections.abc import Sequence

STEERING: Final = frozenset({"prompt_injection", "prompt_extraction", "role_change"})
"""Rules for texts that give orders to a model instead of asking for something."""
_TOLD: Final = 20
"""Findings told of a text; the risk is that of all."""

lifespan = lifespan_of()


@octoqueue.actor(queue="guardian", max_retries=3, time_limit=TIME_LIMIT)
async def screen_goal(goal: str) -> Screening:
    """Say what a goal holds, before anybody works on it."""
    return goal_screened(goal)


@octoqueue.actor(queue="guardian", max_retries=3, time_limit=TIME_LIMIT)
async def screen_result(result: Result) -> OutputScreening:
    """Say what a result holds, and mask its secrets, before anybody is given it."""
    return result_screened(result)


@octoqueue.actor(queue="guardian", max_retries=3, time_limit=TIME_LIMIT)
async def analyze_security(goal: str, given: list[Given], findings: list[str]) -> Result:
    """Screen a goal, and return that with the checklists of its topics and what is known of it."""
    del findings  # its rules are always the same ones
    return analysis_of(goal, given=given)


def goal_screened(goal: str) -> Screening:
    """Return what the rules say about a goal. Pure."""
    findings = findings_in(goal)
    return Screening(
        risk=risk_of(findings).label,
        findings=_told(findings),
        steers=any(finding.rule in STEERING for finding in findings),
    )


def result_screened(result: Result) -> OutputScreening:
    """Return what the rules say about a result, its output masked where it must be. Pure."""
    output, findings = masked(result["output"])
    screening = OutputScreening(risk=risk_of(findings).label, findings=_told(findings))
    if output is not result["output"]:
        screening["output"] = output
    return screening


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


def analysis_of(text: str, *, given: Sequence[Given] = ()) -> Result:
    """Return what the rules say about a text. Pure, and quick enough for the event loop."""
    findings = findings_in(text)
    checklists = checklists_for(text)
    topics = ", ".join(checklist.topic for checklist in checklists)
    found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    return Result(
        summary=f"Risk {risk_of(findings).label}: {found} in the text; to check: {topics}.",
        output={
            "risk": risk_of(findings).label,
            "findings": [
                {
                    "rule": finding.rule,
                    "family": finding.family.label,
                    "severity": finding.severity.label,
                    "start": finding.start,
                    "end": finding.end,
                    "excerpt": finding.excerpt,
                }
                for finding in findings
            ],
            "checklists": [
                {"topic": checklist.topic, "points": list(checklist.points)}
                for checklist in checklists
            ],
            "characters_screened": len(text),
            "known": [each["text"] for each in given if each["text"]],
        },
        checks=[{"name": "text screened", "passed": True, "detail": found}],
    )
