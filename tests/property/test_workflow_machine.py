"""Random workflows under random crashes end as the model says, each step recorded once."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from octoqueue.workflows.definitions import Definition, Registry, define
from octoqueue.workflows.executions import workflow_id_from
from octoqueue.workflows.states import StepKind, StepStatus
from tests.property.workflow_engine import PARTITIONS, World
from tests.property.workflow_history import History
from tests.running import broker_on
from tests.workflow_model import Grower, Node, mixed
from tests.workflow_program import Interpreter, declare_actors
from tests.workflow_watch import check_end

EXAMPLES = 3 * settings().max_examples
"""Some seconds; with `--hypothesis-profile=octoqueue-long --timeout=0` a hundred times as many."""


def perform(name: str, args: list[Any], attempt: int) -> object:
    """Do what the actors do."""
    if name == "fail":
        raise ValueError(args[0])
    if name == "flaky" and attempt == 1:
        raise ConnectionError(args[1])
    return args[0] if name == "undo" else mixed(*args)


def declared() -> Definition:
    interpreter = Interpreter(
        declare_actors(broker_on(), lambda _: None), lambda _: None, lambda: definition
    )
    definition = define(interpreter.carry_out, name="program", registry=Registry())
    return definition


DEFINITION = declared()


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
    check_end(loaded, cancelled=world.cancelled, orphaned=world.orphaned)
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
    flaky = {
        (loaded.execution.execution_id, step.key)
        for loaded in map(world.loaded, world.executions)
        for step in loaded.steps
        if step.name == "flaky"
    }
    assert all(times == 1 + (to in flaky) for to, times in world.effects.items())
