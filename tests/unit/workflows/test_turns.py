from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from octoqueue.workflows.states import ExecutionStatus, StepStatus
from octoqueue.workflows.turns import rounds_of, step_after, told_of_end, told_of_taken_id
from tests.contract.workflow_values import a_step, a_workflow, begins, completes, ended, turn

if TYPE_CHECKING:
    from octoqueue.workflows.turns import Entry


def ids_of(rounds: list[list[Entry]]) -> list[list[str]]:
    return [[entry.execution_id for entry in entries] for entries in rounds]


def test_turns_of_executions_that_know_nothing_of_each_other_are_one_round() -> None:
    one, other = a_workflow(), a_workflow()
    rounds = rounds_of([begins(one), begins(other), completes(one), completes(other)])
    assert ids_of(rounds) == [[one.execution_id, other.execution_id]]
    assert [entry.status for entry in rounds[0]] == [ExecutionStatus.COMPLETED] * 2
    assert all(entry.is_legal and entry.runs for entry in rounds[0])
    assert rounds_of([]) == []


def test_a_round_begins_with_a_turn_of_what_the_one_before_has_made() -> None:
    parent, other = a_workflow(), a_workflow()
    child = a_workflow(f"{parent.workflow_id}/1")
    turns = [begins(parent, children=(child,)), begins(other), begins(child), turn(parent)]
    assert ids_of(rounds_of(turns)) == [
        [parent.execution_id, other.execution_id],
        [child.execution_id, parent.execution_id],
    ]


def test_two_children_of_one_id_are_two_rounds() -> None:
    parent = a_workflow()
    first, second = (a_workflow(f"{parent.workflow_id}/1") for _ in range(2))
    turns = [begins(parent, children=(first,)), turn(parent, children=(second,))]
    assert len(rounds_of(turns)) == 2


def test_a_turn_after_the_end_or_back_into_the_queue_makes_all_of_them_illegal() -> None:
    new = a_workflow()
    ((entry,),) = rounds_of([completes(new), turn(new)])
    assert not entry.is_legal
    ((entry,),) = rounds_of([turn(new, status=ExecutionStatus.QUEUED), begins(new)])
    assert not entry.is_legal


def test_where_an_entry_may_go_on_from() -> None:
    new = a_workflow()
    ((moves,),) = rounds_of([begins(new), turn(new)])
    ((stays,),) = rounds_of([turn(new), completes(new)])
    begun = {ExecutionStatus.RUNNING, ExecutionStatus.BLOCKED}
    assert {each for each in ExecutionStatus if stays.may_follow(each)} == begun
    assert {each for each in ExecutionStatus if moves.may_follow(each)} == {
        *begun,
        ExecutionStatus.QUEUED,
    }


def test_a_step_keeps_what_it_was_begun_with_and_how_it_ended() -> None:
    step = a_step("1")
    other = ended(step._replace(name="other", input=b"0", digest=b"0", began_at_ms=9), 1)
    assert step_after(None, step) == step
    assert step_after(step, other) == ended(step, 1)
    assert step_after(ended(step, 1), other._replace(order=2)) == ended(step, 1)
    failed = step._replace(status=StepStatus.FAILED, order=3, error=b"{}")
    assert step_after(failed, step) == failed


def test_what_a_parent_is_told_is_json() -> None:
    told = told_of_end(ExecutionStatus.COMPLETED, output=b'{"a":1}', error=None)
    assert orjson.loads(told) == {"status": "completed", "output": {"a": 1}, "error": None}
    taken = orjson.loads(told_of_taken_id(a_workflow("p/1")))
    assert taken["error"]["error"] == "WorkflowIdTaken"
    assert "p/1" in taken["error"]["message"]
