"""What holds for every plan: it runs to its end in an order that keeps to it, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.models.replies import PlannedStep
from workers.orchestrator.graph import MOST_STEPS, Graph, PlanInvalid, Problem, graph_from

if TYPE_CHECKING:
    from collections.abc import Sequence

ARMS = ("executor", "coder", "guardian", "retriever")


def step(name: str, *needs: str, arm: str = "coder") -> PlannedStep:
    return PlannedStep(id=name, arm=arm, needs=needs)


@st.composite
def sound_plans(draw: st.DrawFn) -> list[PlannedStep]:
    """Plans without a cycle and with one last step, in any order."""
    count = draw(st.integers(1, MOST_STEPS))
    steps: list[PlannedStep] = []
    for number in range(count):
        before = [each.id for each in steps]
        needs = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        steps.append(step(f"s{number}", *needs, arm=draw(st.sampled_from(ARMS))))
    needed = {name for each in steps for name in each.needs}
    loose = [each.id for each in steps[:-1] if each.id not in needed]
    last = steps[-1]
    steps[-1] = step(last.id, *dict.fromkeys([*last.needs, *loose]), arm=last.arm)
    return draw(st.permutations(steps))


any_plans = st.lists(
    st.builds(
        PlannedStep,
        id=st.sampled_from("abcdefgh"),
        arm=st.sampled_from([*ARMS, "octopus"]),
        needs=st.lists(st.sampled_from("abcdefghx"), max_size=3).map(tuple),
    ),
    max_size=MOST_STEPS + 2,
)


def tried(plan: list[PlannedStep]) -> Graph | PlanInvalid:
    try:
        return graph_from(plan, arms=ARMS)
    except PlanInvalid as refused:
        return refused


def run_down(graph: Graph, choose: st.DataObject) -> list[str]:
    """End steps one after another, in any order the graph allows; return it."""
    done: set[str] = set()
    begun: set[str] = set()
    order: list[str] = []
    while ready := graph.ready(done=done, begun=begun) or begun - done:
        for each in graph.ready(done=done, begun=begun):
            assert set(each.needs) <= done
            begun.add(each.id)
        ended = choose.draw(st.sampled_from(sorted(begun - done)))
        done.add(ended)
        order.append(ended)
        assert ready
    return order


@given(plan=sound_plans(), choose=st.data())
def test_every_sound_plan_runs_each_step_once_and_its_last_one_last(
    plan: list[PlannedStep], choose: st.DataObject
) -> None:
    graph = graph_from(plan, arms=ARMS)
    order = run_down(graph, choose)
    assert sorted(order) == sorted(each.id for each in plan)
    assert order[-1] == graph.last.id


@given(plan=any_plans, choose=st.data())
def test_any_plan_is_refused_with_its_problem_or_runs_to_its_end(
    plan: list[PlannedStep], choose: st.DataObject
) -> None:
    graph = tried(plan)
    if isinstance(graph, PlanInvalid):
        assert graph.problem.value in str(graph)
        assert graph.step in {"", *(each.id for each in plan)}
        return
    assert sorted(run_down(graph, choose)) == sorted(each.id for each in plan)


@given(plan=sound_plans())
def test_what_is_ready_comes_in_the_order_of_the_plan(plan: list[PlannedStep]) -> None:
    graph = graph_from(plan, arms=ARMS)
    roots = [each.id for each in plan if not each.needs]
    assert [each.id for each in graph.ready(done=frozenset())] == roots
    assert graph.ready(done=frozenset(), begun=frozenset(graph.steps)) == ()


@given(plan=sound_plans(), data=st.data())
def test_a_step_that_needs_one_that_waits_for_it_is_a_cycle(
    plan: list[PlannedStep], data: st.DataObject
) -> None:
    first = data.draw(st.sampled_from(range(len(plan))))
    last = graph_from(plan, arms=ARMS).last.id
    # Everything leads to the last step, so whoever needs it waits for itself.
    old = plan[first]
    plan[first] = step(old.id, *dict.fromkeys([*old.needs, last]), arm=old.arm)
    with pytest.raises(PlanInvalid) as refused:
        graph_from(plan, arms=ARMS)
    assert refused.value.problem is Problem.CYCLE


@pytest.mark.parametrize(
    ("plan", "problem", "at"),
    [
        ([], Problem.EMPTY, ""),
        ([step(f"s{n}") for n in range(MOST_STEPS + 1)], Problem.TOO_MANY_STEPS, ""),
        ([step("a"), step("a")], Problem.TWICE, "a"),
        ([step("a", arm="octopus")], Problem.UNKNOWN_ARM, "a"),
        ([step("a"), step("b", "a", "ghost")], Problem.MISSING_DEPENDENCY, "b"),
        ([step("a", "a")], Problem.CYCLE, "a"),
        ([step("z"), step("a", "z", "b"), step("b", "a")], Problem.CYCLE, "a"),
        ([step("a"), step("b")], Problem.NO_RESULT, "a"),
    ],
)
def test_each_problem_is_told_with_the_step_at_fault(
    plan: Sequence[PlannedStep], problem: Problem, at: str
) -> None:
    with pytest.raises(PlanInvalid) as refused:
        graph_from(plan, arms=ARMS)
    assert (refused.value.problem, refused.value.step) == (problem, at)
    assert refused.value.retryable
