"""When a batch is due, and what its answer says of each message."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import octoqueue
from octoqueue.broker.batch_option import MAX_SIZE, MAX_WAIT, answers_of
from octoqueue.errors import BatchAnswerInvalid, DeclarationError
from octoqueue.runtime.batches import Collection

SECOND = timedelta(seconds=1)


def collecting(*, max_size: int = 3, now_seconds: float = 100.0) -> Collection[str]:
    batch = octoqueue.Batch(max_size=max_size, max_wait=5 * SECOND)
    return Collection[str](batch, now_seconds=now_seconds)


def test_a_batch_is_due_when_it_is_full() -> None:
    batch = collecting(max_size=2)
    batch.add("a")
    assert not batch.is_due(100.0)
    batch.add("b")
    assert batch.is_due(100.0)


def test_a_batch_is_due_when_its_first_message_has_waited_enough() -> None:
    batch = collecting()
    batch.add("a")
    assert not batch.is_due(104.9)
    batch.add("b")
    assert batch.is_due(105.0)


def test_an_empty_batch_is_never_due() -> None:
    assert not collecting().is_due(1e9)


def test_a_full_batch_takes_no_more() -> None:
    batch = collecting(max_size=1)
    batch.add("a")
    with pytest.raises(ValueError, match="full"):
        batch.add("b")


def test_a_message_leaves_its_batch_once() -> None:
    batch = collecting()
    batch.add("a")
    batch.add("b")
    assert (batch.remove("a"), batch.remove("a")) == (True, False)
    assert batch.members == ["b"]


@given(st.lists(st.integers(), unique=True, max_size=20), st.integers(1, 20))
def test_members_keep_the_order_they_were_claimed_in(numbers: list[int], max_size: int) -> None:
    batch = Collection[int](octoqueue.Batch(max_size=max_size), now_seconds=0.0)
    for number in numbers[:max_size]:
        batch.add(number)
    assert batch.members == numbers[:max_size]
    assert batch.is_full == (len(numbers) >= max_size)


def test_none_acks_all_and_a_list_speaks_for_each() -> None:
    error = ValueError("only this one")
    assert answers_of(None, 2, actor="a") == [(None, None)] * 2
    assert answers_of(["x", error, None], 3, actor="a") == [
        ("x", None),
        (None, error),
        (None, None),
    ]
    assert answers_of((1, 2), 2, actor="a") == [(1, None), (2, None)]


@pytest.mark.parametrize("returned", [[], [1], [1, 2, 3], "ab", {"a": 1, "b": 2}, 2, iter([1, 2])])
def test_any_other_answer_is_refused(returned: object) -> None:
    with pytest.raises(BatchAnswerInvalid, match="called with 2 messages") as caught:
        answers_of(returned, 2, actor="embed")
    assert (caught.value.actor, caught.value.messages) == ("embed", 2)


@pytest.mark.parametrize(
    "options",
    [
        {"max_size": 0},
        {"max_size": MAX_SIZE + 1},
        {"max_size": True},
        {"max_size": "10"},
        {"max_wait": -SECOND},
        {"max_wait": MAX_WAIT + SECOND},
        {"max_wait": 5},
    ],
)
def test_an_impossible_batch_is_refused_by_the_name_of_its_field(options: dict[str, Any]) -> None:
    (field,) = options
    with pytest.raises(DeclarationError, match=field):
        octoqueue.Batch(**options)
