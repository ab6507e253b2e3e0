"""The planner: takes a task in, chooses its arm and hands it on."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from octoqueue.models.replies import plan_from
from octoqueue.workflows.tasks import TaskId
from workers.arms import coder, executor, guardian, retriever
from workers.arms.hand_over import lane_here, outages_do_not_count
from workers.forms import Plan, PlanStep
from workers.means import means_here
from workers.resources import MODEL, TASKS, lifespan_of

log = logging.getLogger(__name__)

lifespan = lifespan_of(TASKS, MODEL)

ARMS: Final = {
    "executor": executor.execute,
    "coder": coder.write_code,
    "guardian": guardian.analyze,
    "retriever": retriever.retrieve,
}
"""Whom the planner may choose, and the actor that takes the task on."""


@octoqueue.actor(
    queue="planner",
    retry_when=outages_do_not_count,
    max_backoff=timedelta(seconds=10),
    time_limit=timedelta(seconds=30),
    on_dead_letter="fail_task",
)
async def plan(task_id: str, goal: str) -> None:
    """Choose the arm for a goal, mark its task as running, and hand it to the arm."""
    completion = await MODEL.get().complete(
        Prompt(purpose=Purpose.PLAN, goal=goal, choices=tuple(ARMS))
    )
    chosen = plan_from(completion, choices=tuple(ARMS))
    verdict = await TASKS.get().start(TaskId(task_id), arm=chosen.arm)
    if not verdict.goes_on:
        # Unknown: its caller was told no. Refused: it is finished. Nothing is left to do.
        log.info("task_dropped", extra={"task_id": task_id, "because": verdict.value})
        return
    await ARMS[chosen.arm].using(lane=lane_here()).asend(task_id=task_id, goal=goal)


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
