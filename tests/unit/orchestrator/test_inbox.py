"""Letters of one claim, sorted."""

from __future__ import annotations

from octoqueue.orchestrator.inbox import Input, sorted_post
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import TOKEN_BYTES, Enqueue, Lease, LeaseToken
from octoqueue.workflows.executions import ExecutionId, WorkflowId, message_id_of, new_execution_id
from octoqueue.workflows.letters import Completion, completion_message, nudge_message, queue_of

EXECUTION = new_execution_id(WorkflowId("order-17"))


def leased(sent: Enqueue) -> Lease:
    token = LeaseToken(sent.message_id + bytes(TOKEN_BYTES - 16))
    return Lease(sent.queue, 0, token, sent.payload)


def nudge(partition: int, execution: ExecutionId = EXECUTION) -> Lease:
    beside = message_id_of(execution)
    return leased(
        nudge_message(execution, to=queue_of(partition), lane=Lane.NORMAL, beside=beside, now_ms=1)
    )


def completion(partition: int, told: Completion) -> Lease:
    return leased(
        completion_message(
            told,
            to=queue_of(partition),
            lane=Lane.NORMAL,
            beside=new_message_id(),
            now_ms=1,
            limit_bytes=1_000,
        )
    )


def test_letters_become_inputs_in_their_order() -> None:
    told = Completion(EXECUTION, "1", "completed", {"a": [1]}, None, 2)
    first, second = completion(3, told), nudge(3)
    post = sorted_post([first, second], {3})
    assert post.inputs == [Input(EXECUTION, 3, told, first), Input(EXECUTION, 3, None, second)]
    assert [each.needs_read for each in post.inputs] == [False, True]
    assert not post.foreign
    assert not post.unreadable


def test_letters_of_partitions_that_are_not_held_stay_closed() -> None:
    letter = nudge(4)
    post = sorted_post([letter], {3})
    assert post.foreign == [letter]
    assert not post.inputs


def test_what_is_no_letter_is_set_aside_with_the_reason() -> None:
    broken = nudge(3)._replace(payload=b"\x01" * 40)
    ((lease, error),) = sorted_post([broken], {3}).unreadable
    assert lease == broken
    assert str(error)


def test_a_timer_needs_no_read() -> None:
    assert not Input(EXECUTION, 1, timer="").needs_read
