"""The planner: chooses the arms for a goal, and who waits for whom."""

from __future__ import annotations

from datetime import timedelta

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import plan_from
from workers.forms import Plan, PlanStep
from workers.means import means_here
from workers.resources import MODEL, lifespan_of

lifespan = lifespan_of(MODEL)


@octoqueue.actor(queue="planner", max_retries=3, time_limit=timedelta(seconds=30))
async def make_plan(goal: str, arms: list[str], findings: list[str]) -> Plan:
    """Return which of these arms work on a goal, and who waits for whom.

    Raises:
        ReplyUnusable: the model has answered in another form; it is worth asking again.
    """
    prompt = Prompt(
        purpose=Purpose.PLAN,
        goal=goal,
        choices=tuple(arms),
        findings=tuple(findings),
        tier=means_here().tier,
    )
    completion = await MODEL.get().complete(prompt)
    chosen = plan_from(completion, choices=arms)
    return Plan(
        steps=[
            PlanStep(id=step.id, arm=step.arm, ask=step.ask, needs=list(step.needs))
            for step in chosen.steps
        ],
        complexity=chosen.complexity,
        reason=chosen.reason,
        model=completion.model,
    )
