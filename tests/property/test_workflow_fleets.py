"""Orchestrators and workers that die, pause and are cut off lose nothing: in virtual time."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from octoqueue.primitives.ids import text_from_id
from octoqueue.workflows.states import StepStatus
from tests.property.workflow_fleet import Fleet, Kind, Mishap
from tests.virtual_time import run_in_virtual_time
from tests.workflow_model import Grower, Node
from tests.workflow_watch import check_end, check_result, orphans_in

EXAMPLES = settings().max_examples // 2
LONGEST_MS = 20_000
ONE: Node = ["seq", [["call", 0]]]


@st.composite
def programs(draw: st.DrawFn) -> Node:
    grower = Grower(lambda below: draw(st.integers(0, below - 1)), longest_ms=LONGEST_MS)
    return grower.program(depth=2)


mishaps = st.builds(Mishap, st.integers(1, 40), st.sampled_from(Kind), st.booleans())


def play(
    nodes: list[Node],
    mishaps: list[Mishap],
    *,
    retries: list[int] | None = None,
    deadline_ms: int | None = None,
) -> None:
    """Run programs while things go wrong, and judge what is left."""

    async def main() -> None:
        fleet = Fleet(list(mishaps), deadline_ms=deadline_ms)
        histories = await fleet.run(nodes, retries=retries or ())
        stopped = fleet.cancelled
        if deadline_ms is not None:
            stopped = {each.execution.workflow_id for each in histories}
        check_end(histories, cancelled=stopped, orphaned=orphans_in(histories))
        for loaded in histories:
            if loaded.execution.execution_id in fleet.retried:
                check_result(loaded)
        for step in (step for each in histories for step in each.steps):
            if step.status is StepStatus.COMPLETED and step.message_id is not None:
                times = fleet.effects[text_from_id(step.message_id)]
                assert times >= 1
                assert mishaps or times == 1 + (step.name == "flaky")

    run_in_virtual_time(main())


@settings(max_examples=EXAMPLES)
@given(nodes=st.lists(programs(), min_size=1, max_size=3), mishaps=st.lists(mishaps, max_size=15))
@example(nodes=[ONE, ONE], mishaps=[Mishap(6, Kind.LOST_ANSWER)])  # of who took both partitions
def test_nothing_is_lost_when_processes_die_pause_and_are_cut_off(
    nodes: list[Node], mishaps: list[Mishap]
) -> None:
    play(nodes, mishaps)


@settings(max_examples=EXAMPLES)
@given(
    nodes=st.lists(programs(), min_size=1, max_size=3),
    mishaps=st.lists(mishaps, max_size=10),
    retries=st.lists(st.integers(0, 20), min_size=3, max_size=3),
    cancel_after=st.integers(1, 60),
)
def test_what_was_cancelled_ends_as_the_model_says_when_it_is_retried_from_any_step(
    nodes: list[Node], mishaps: list[Mishap], retries: list[int], cancel_after: int
) -> None:
    play(nodes, [Mishap(cancel_after, Kind.CANCEL), *mishaps], retries=retries)


@settings(max_examples=EXAMPLES)
@given(
    nodes=st.lists(programs(), min_size=1, max_size=3),
    mishaps=st.lists(mishaps, max_size=10),
    deadline_ms=st.integers(0, 10_000),
)
def test_a_deadline_ends_every_workflow_whatever_goes_wrong(
    nodes: list[Node], mishaps: list[Mishap], deadline_ms: int
) -> None:
    play(nodes, mishaps, deadline_ms=deadline_ms)


@settings(max_examples=EXAMPLES)
@given(node=programs())
def test_when_nothing_goes_wrong_every_actor_runs_once(node: Node) -> None:
    play([node], [])
