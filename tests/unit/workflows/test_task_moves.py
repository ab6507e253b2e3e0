from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import InvalidMessage
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.tasks import (
    FINAL_STATUSES,
    GOAL_LIMIT_BYTES,
    LEGAL_MOVES,
    NewTask,
    TaskStatus,
    Verdict,
    new_task_id,
    task_id_from,
    verdict_on,
)

statuses = st.sampled_from(TaskStatus)
WANTED = st.sampled_from([TaskStatus.RUNNING, TaskStatus.COMPLETED, TaskStatus.FAILED])


def test_every_status_has_its_moves_and_the_final_ones_have_none() -> None:
    assert set(LEGAL_MOVES) == set(TaskStatus)
    assert {TaskStatus.COMPLETED, TaskStatus.FAILED} == FINAL_STATUSES


@given(moves=st.lists(WANTED, max_size=12))
def test_no_sequence_of_moves_leaves_a_final_status(moves: list[TaskStatus]) -> None:
    current = TaskStatus.QUEUED
    final: TaskStatus | None = None
    for wanted in moves:
        if verdict_on(current, wanted) is Verdict.MOVED:
            current = wanted
        if final is not None:
            assert current is final
        if current in FINAL_STATUSES:
            final = current


@given(current=statuses, wanted=WANTED)
def test_a_move_made_twice_is_a_move_made_once(current: TaskStatus, wanted: TaskStatus) -> None:
    first = verdict_on(current, wanted)
    after = wanted if first is Verdict.MOVED else current
    again = verdict_on(after, wanted)
    assert again is (Verdict.ALREADY if first.goes_on else first)


@given(wanted=WANTED)
def test_a_task_nobody_knows_moves_nowhere(wanted: TaskStatus) -> None:
    assert verdict_on(None, wanted) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "goal",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * (GOAL_LIMIT_BYTES + 1), id="over-long"),
        pytest.param("é" * (GOAL_LIMIT_BYTES // 2 + 1), id="over-long in bytes only"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("\ud800", id="lone surrogate"),
    ],
)
def test_a_goal_the_store_could_not_keep_is_refused_by_field(goal: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        NewTask(task_id=new_task_id(), goal=goal, lane=Lane.LOW)
    assert refused.value.field == "goal"


def test_the_longest_goal_is_accepted() -> None:
    NewTask(task_id=new_task_id(), goal="x" * GOAL_LIMIT_BYTES, lane=Lane.HIGH)


def test_ids_are_read_in_their_canonical_form_only() -> None:
    task_id = new_task_id()
    assert task_id_from(task_id) == task_id
    for other in (task_id.upper(), task_id.replace("-", ""), f"{{{task_id}}}", "", "x", "0" * 36):
        assert task_id_from(other) is None
