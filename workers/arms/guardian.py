"""The guardian: screens what comes in and what goes out, and analyses the security of a goal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import octoqueue
from workers.direct import Arm
from workers.direct_work import MAX_BACKOFF, do_task, outages_do_not_count
from workers.forms import Given, OutputScreening, Result, Screening
from workers.means import TIME_LIMIT
from workers.resources import TASKS, lifespan_of
from workers.screening.checklists import checklists_for
from workers.screening.patterns import findings_in, risk_of
from workers.screening.verdicts import goal_screened, result_screened

if TYPE_CHECKING:
    from collections.abc import Sequence

lifespan = lifespan_of(TASKS)


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


@octoqueue.actor(
    queue="guardian",
    retry_when=outages_do_not_count,
    max_backoff=MAX_BACKOFF,
    time_limit=TIME_LIMIT,
    on_dead_letter="fail_direct_task",
)
async def analyze(task_id: str, goal: str) -> None:
    """Do a task that names this arm."""

    async def work(goal: str) -> Result:
        return analysis_of(goal)

    await do_task(task_id, goal, arm=Arm.GUARDIAN, work=work)


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
