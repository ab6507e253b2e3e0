"""Orchestrators and workers that die, pause and are cut off lose nothing: in virtual time."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from octoqueue.primitives.ids import text_from_id
from octoqueue.workflows.states import StepStatus
from tests.property.workflow_fleet import Fleet, Kind, Mishap
from tests.virtual_time import run_in_virtual_time
from tests.workflow_model import Grower, Node
from tests.workflow_watch import check_end, orphans_in

EXAMPLES = settings().max_examples // 2
LONGEST_MS = 20_000
ONE: Node = ["seq", [["call", 0]]]


@st.composite
def programs(draw: st.DrawFn) -> Node:
    grower = Grower(lambda below: draw(st.integers(0, below - 1)), longest_ms=LONGEST_MS)
    return grower.program(depth=2)


mishaps = st.builds(Mishap, st.integers(1, 40), st.sampled_from(Kind), st.booleans())


def play(nodes: list[Node], mishaps: list[Mishap]) -> None:
    """Run programs while things go wrong, and judge what is left."""

    async def main() -> None:
        fleet = Fleet(list(mishaps))
        histories = await fleet.run(nodes)
        check_end(histories, cancelled=fleet.cancelled, orphaned=orphans_in(histories))
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
@given(node=programs())
def test_when_nothing_goes_wrong_every_actor_runs_once(node: Node) -> None:
    play([node], [])
