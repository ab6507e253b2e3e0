"""The workflow of a task: plan, work, judge, and mend at most twice.

    goal ─► guardian ─► planner ─► steps of the plan, as a graph ─► judge ∥ guardian ─► the row
              screens      ▲        each as soon as what it needs        │   screens
                           └──────── findings, at most twice ────────────┘ refused

Its workflow id is the task's id. The task's row is moved by journaled functions, so it is moved
once. However the workflow ends, the row ends too: what was begun is compensated by failing it.

The weakness: a plan that was made anew begins from the beginning; what its predecessor found out
is told to it only as the judge's findings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import octoqueue
from octoqueue.errors import Cancelled, StepFailed
from octoqueue.models.replies import PlannedStep
from octoqueue.primitives.retry import RetryPolicy
from workers.forms import ComplexityName, Refusal
from workers.intake import WORKFLOW
from workers.orchestrator.asking import (
    GIVE_UP,
    MAKE_PLAN,
    REVIEW,
    SCREEN_GOAL,
    SCREEN_RESULT,
    WORKING,
)
from workers.orchestrator.graph import PlanInvalid, graph_from
from workers.orchestrator.telling import given_to, outcome_of, without_output
from workers.resources import TASKS, lifespan_of
from workers.rows import complete_task, fail_task, start_task
from workers.screening.verdicts import HARMLESS

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context
    from workers.forms import OutputScreening, Plan, Result, Review
    from workers.orchestrator.graph import Graph

lifespan = lifespan_of(TASKS)

MOST_REPAIRS: Final = 2
"""How often a plan is made again after the judge refused its result."""
_ROW: Final = RetryPolicy(max_retries=100, max_backoff=timedelta(seconds=10))
"""Of the moves of the row: a quarter of an hour, for PostgreSQL to come back."""
_CANCELLED: Final = Refusal(code="cancelled", message="The task was cancelled.")
_ENDED: Final = Refusal(
    code="abandoned", message="The work on this task ended without a result. Submit it again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is to be done."""

    goal: str
    complexity: ComplexityName | None = None
    """How demanding it is; None leaves that to the planner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of it. What was found stands in the task's row."""

    status: str
    """`completed`, `failed`, or `dropped` when there was no such task to be done."""
    arm: str | None = None
    code: str | None = None
    """Why it failed."""
    repairs: int = 0


class Refused(Exception):
    """An arm will not do what a step asks."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal["message"])
        self.refusal = refusal


class Work(NamedTuple):
    """A plan that is being done."""

    goal: str
    graph: Graph
    complexity: ComplexityName
    findings: list[str]
    """What was wrong with the try before."""


class Done(NamedTuple):
    """A plan that was done."""

    results: dict[str, Result]
    review: Review
    outgoing: OutputScreening


@octoqueue.workflow(name=WORKFLOW)
async def agent(ctx: Context, asked: Goal) -> Ending:
    """Do what a task asks for, and end its row."""
    ctx.on_failure(GIVE_UP, task_id=ctx.workflow_id, **_ENDED)
    try:
        return await _worked_on(ctx, asked)
    except StepFailed as error:
        told = f"{error.name} gave up: {error.error}: {error.detail}"
        return await _failed(ctx, Refusal(code="arm_failed", message=told), repairs=0)
    except Cancelled:
        # It runs before the one above, and what the row is told first stands.
        ctx.on_failure(GIVE_UP, task_id=ctx.workflow_id, **_CANCELLED)
        raise


async def _worked_on(ctx: Context, asked: Goal) -> Ending:
    incoming = await ctx.call(SCREEN_GOAL, goal=asked.goal)
    arms = HARMLESS if incoming["steers"] else tuple(WORKING)
    complexity: ComplexityName = asked.complexity or "medium"
    failure = Refusal(code="", message="")
    findings: list[str] = []
    started = False
    for repairs in range(1 + MOST_REPAIRS):
        plan = await ctx.call(
            MAKE_PLAN.at(complexity),
            goal=asked.goal,
            arms=list(arms),
            findings=findings,
        )
        complexity = asked.complexity or plan["complexity"]
        try:
            graph = graph_from(_steps_of(plan), arms=arms)
        except PlanInvalid as error:
            failure = Refusal(code="plan_invalid", message=str(error))
            findings = [str(error)]
            continue
        if not started:
            started = await ctx.run(start_task, ctx.workflow_id, graph.last.arm, retry=_ROW)
            if not started:
                return Ending(status="dropped")
        try:
            done = await _done(ctx, Work(asked.goal, graph, complexity, findings))
        except Refused as error:
            return await _failed(ctx, error.refusal, repairs=repairs)
        if done.review["accepted"]:
            result = outcome_of(
                graph=graph,
                complexity=complexity,
                reason=plan["reason"],
                results=done.results,
                review=done.review,
                incoming=incoming,
                outgoing=done.outgoing,
                repairs=repairs,
            )
            await ctx.run(complete_task, ctx.workflow_id, result, repairs + 1, retry=_ROW)
            return Ending(status="completed", arm=graph.last.arm, repairs=repairs)
        failure = Refusal(code="result_rejected", message=done.review["remark"])
        findings = done.review["findings"] or [done.review["remark"]]
    return await _failed(ctx, failure, repairs=MOST_REPAIRS)


async def _done(ctx: Context, work: Work) -> Done:
    """Do the steps of a plan, and have the result of the last one reviewed and screened."""
    results = await _results(ctx, work)
    last = results[work.graph.last.id]
    others = [
        without_output(result) for name, result in results.items() if name != work.graph.last.id
    ]
    review, outgoing = await ctx.gather(
        ctx.call(
            REVIEW.at(work.complexity),
            goal=work.goal,
            result=last,
            steps=others,
        ),
        ctx.call(SCREEN_RESULT, result=last),
    )
    return Done(results, review, outgoing)


async def _results(ctx: Context, work: Work) -> dict[str, Result]:
    """Do each step of a graph as soon as what it needs is done; return their results in its order.

    The branch whose end makes steps ready begins them: what begins follows from the order of ends
    alone, so that a replay begins the same.
    """
    graph, results, begun = work.graph, dict[str, "Result"](), set[str]()

    async def work_on(step: PlannedStep) -> None:
        result = await ctx.call(
            WORKING[step.arm].at(work.complexity),
            goal=step.ask or work.goal,
            given=given_to(step, graph=graph, results=results),
            findings=work.findings,
        )
        if "refusal" in result:
            raise Refused(result["refusal"])
        results[step.id] = result
        await go_on()

    async def go_on() -> None:
        ready = graph.ready(done=results.keys(), begun=begun)
        begun.update(step.id for step in ready)
        await ctx.gather(*map(work_on, ready))

    await go_on()
    return {name: results[name] for name in graph.steps}


async def _failed(ctx: Context, why: Refusal, *, repairs: int) -> Ending:
    """Fail the row."""
    code, message = why["code"], why["message"]
    await ctx.run(fail_task, ctx.workflow_id, code, message, repairs + 1, retry=_ROW)
    return Ending(status="failed", code=code, repairs=repairs)


def _steps_of(plan: Plan) -> list[PlannedStep]:
    return [
        PlannedStep(id=step["id"], arm=step["arm"], ask=step["ask"], needs=tuple(step["needs"]))
        for step in plan["steps"]
    ]
