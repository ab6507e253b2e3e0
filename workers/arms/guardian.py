"""The guardian: analyses the security of what a goal holds and of what it asks about."""

from __future__ import annotations

import octoqueue
from workers.arms.hand_over import ARM_TIME_LIMIT, Result
from workers.arms.judge import hand_in
from workers.resources import lifespan_of
from workers.screening.checklists import checklists_for
from workers.screening.patterns import findings_in, risk_of

lifespan = lifespan_of()


@octoqueue.actor(
    queue="guardian", max_retries=3, time_limit=ARM_TIME_LIMIT, on_dead_letter="fail_task"
)
async def analyze(task_id: str, goal: str) -> None:
    """Screen a goal, add the checklists of its topics, and hand both to the judge."""
    await hand_in(task_id, goal, arm="guardian", result=analysis_of(goal))


def analysis_of(text: str) -> Result:
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
        },
        checks=[{"name": "text screened", "passed": True, "detail": found}],
    )
