"""What holds for the workflow of a task, whatever is planned and whenever its process dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.workflows.tasks import TaskStatus
from tests.agent_play import Play, result, world
from tests.property.test_plan_graph_laws import sound_plans
from workers.orchestrator.asking import WORKING

if TYPE_CHECKING:
    from octoqueue.models.replies import PlannedStep
    from workers.forms import Plan, Result, Review

WORKERS = {arm.actor_name for arm in WORKING.values()}


def planner_of(steps: list[PlannedStep]) -> Any:  # noqa: ANN401 - an arm of any arguments
    async def make_plan(**_: object) -> Plan:
        return {
            "steps": [
                {"id": each.id, "arm": each.arm, "ask": each.id, "needs": list(each.needs)}
                for each in steps
            ],
            "complexity": "low",
            "reason": "r",
            "model": "m",
        }

    return make_plan


async def worked(goal: str, **_: object) -> Result:
    return result(f"{goal} is done.", answer=goal)


@given(
    steps=sound_plans(),
    seed=st.integers(0, 2**32),
    dies=st.sampled_from([0.0, 0.3, 0.8]),
    refusals=st.integers(0, 2),
)
def test_each_step_of_each_plan_is_asked_once_with_all_it_needs_and_the_row_is_completed(
    steps: list[PlannedStep], seed: int, dies: float, refusals: int
) -> None:
    left = refusals

    async def review(**_: object) -> Review:
        nonlocal left
        left -= 1
        return {"accepted": left < 0, "remark": "no", "findings": ["no"], "model": "m"}

    async def played() -> None:
        async with world() as tasks:
            answers = {"make_plan": planner_of(steps), "review": review}
            answers |= dict.fromkeys(WORKERS, worked)
            play = Play(tasks=tasks, goal="g", answers=answers, seed=seed, dies=dies)
            row = await play.run()
        assert row is not None
        assert (row.status, row.attempts) == (TaskStatus.COMPLETED, refusals + 1)
        asked = [kwargs for name, kwargs, _ in play.asked if name in WORKERS]
        times = Counter(kwargs["goal"] for kwargs in asked)
        assert times == {each.id: refusals + 1 for each in steps}
        needs = {each.id: each.needs for each in steps}
        for kwargs in asked:
            told = tuple((each["step"], each["text"]) for each in kwargs["given"])
            assert told == tuple((name, name) for name in needs[kwargs["goal"]])

    asyncio.run(played())
