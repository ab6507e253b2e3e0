"""Random workflows under random crashes end as the model says, each step recorded once."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from octoqueue.workflows.definitions import Definition, Registry, define
from octoqueue.workflows.executions import workflow_id_from
from octoqueue.workflows.states import StepKind, StepStatus
from tests.property.workflow_engine import PARTITIONS, World
from tests.property.workflow_history import History
from tests.property.workflow_performing import perform
from tests.running import broker_on
from tests.workflow_model import Grower, Node
from tests.workflow_program import Interpreter, declare_actors
from tests.workflow_watch import check_end, orphans_in

EXAMPLES = 3 * settings().max_examples
"""Some seconds; with `--hypothesis-profile=octoqueue-long --timeout=0` a hundred times as many."""


def declared() -> Definition:
    interpreter = Interpreter(
        declare_actors(broker_on(), lambda _: None), lambda _: None, lambda: definition
    )
    definition = define(interpreter.carry_out, name="program", registry=Registry())
    return definition


DEFINITION = declared()
ENDED = (StepStatus.COMPLETED, StepStatus.FAILED)


@st.composite
def programs(draw: st.DrawFn) -> Node:
    return Grower(lambda below: draw(st.integers(0, below - 1))).program()


def play(nodes: list[Node], numbers: list[int], *, cancels: bool) -> None:
    """Run programs under a history, and judge what is left."""
    world = World(perform, DEFINITION)
    for number, node in enumerate(nodes):
        partition = PARTITIONS[number % len(PARTITIONS)]
        world.start(workflow_id_from(f"w{number}"), node, number, partition=partition)
    history = History(world, cancels=cancels)
    history.play(numbers)
    history.finish()
    loaded = [world.loaded(ident) for ident in world.executions]
    check_end(loaded, cancelled=world.cancelled, orphaned=orphans_in(loaded))
    for each in loaded:
        for step in each.steps:
            if step.kind in (StepKind.CALL, StepKind.RUN) and step.status is StepStatus.COMPLETED:
                assert world.effects[each.execution.execution_id, step.key] >= 1


numbers = st.lists(st.integers(0, 2**16), max_size=200)


@settings(max_examples=EXAMPLES)
@given(nodes=st.lists(programs(), min_size=1, max_size=3), numbers=numbers)
@example(nodes=[["seq", [["call", 0]]]], numbers=[])
def test_every_workflow_ends_as_the_model_says(nodes: list[Node], numbers: list[int]) -> None:
    play(nodes, numbers, cancels=False)


@settings(max_examples=EXAMPLES)
@given(nodes=st.lists(programs(), min_size=1, max_size=3), numbers=numbers)
def test_a_cancel_at_any_moment_ends_a_workflow_and_leaves_a_whole_journal(
    nodes: list[Node], numbers: list[int]
) -> None:
    play(nodes, numbers, cancels=True)


@settings(max_examples=EXAMPLES)
@given(node=programs())
def test_when_nothing_goes_wrong_every_step_has_its_effect_once(node: Node) -> None:
    world = World(perform, DEFINITION)
    world.start(workflow_id_from("w"), node, 1, partition=0)
    History(world).finish()
    for loaded in map(world.loaded, world.executions):
        for step in loaded.steps:
            times = world.effects.pop((loaded.execution.execution_id, step.key), 0)
            most = 1 + (step.name == "flaky")
            assert times <= most
            if step.kind in (StepKind.CALL, StepKind.RUN) and step.status in ENDED:
                assert times == most
    assert not world.effects
