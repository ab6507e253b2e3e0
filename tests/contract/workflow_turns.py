"""The contract of `WorkflowStore`, for orchestrators: what a write does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING

import orjson

from octoqueue.primitives.ids import new_message_id
from octoqueue.workflows.executions import Parent, new_execution_id
from octoqueue.workflows.journal import Signal, SignalId, Turn
from octoqueue.workflows.states import (
    LEGAL_MOVES,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from tests.contract.workflow_values import (
    ODD,
    Holder,
    a_signal,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    fails,
    loaded,
    read,
    started,
    turn,
)

if TYPE_CHECKING:
    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.protocol import WorkflowStore

LEASE = timedelta(minutes=5)
FAR = 10**13


def child_of(new: NewExecution, key: str = "1", **fields: object) -> NewExecution:
    parent = Parent(execution_id=new.execution_id, step=key)
    return a_workflow(f"{new.workflow_id}/{key}", parent=parent, **fields)


def as_signal(child: NewExecution) -> SignalId:
    """Return the id of the signal that tells its parent how it ended."""
    return SignalId(child.execution_id)


def next_of(new: NewExecution, **fields: object) -> NewExecution:
    ident = new_execution_id(new.workflow_id)
    return replace(new, execution_id=ident, run=new.run + 1, **fields)  # type: ignore[arg-type]


def move_to(status: ExecutionStatus | None, of: NewExecution) -> Turn:
    match status:
        case ExecutionStatus.COMPLETED:
            return completes(of, a_step("7"))
        case ExecutionStatus.FAILED | ExecutionStatus.CANCELLED | ExecutionStatus.BLOCKED:
            return turn(of, a_step("7"), status=status, error=b'{"error":"E"}')
        case ExecutionStatus.CONTINUED:
            return turn(of, a_step("7"), status=status, continued=next_of(of))
        case _:
            return turn(of, a_step("7"), status=status)


async def in_status(store: WorkflowStore, holder: Holder, status: ExecutionStatus) -> NewExecution:
    new = await started(store)
    if status is not ExecutionStatus.QUEUED:
        await holder.wrote(begins(new))
        await holder.wrote(replace(move_to(status, new), steps=()))
    return new


class WorkflowTurnsContract:
    """What a write promises."""

    async def test_a_write_keeps_steps_as_they_are_to_the_byte(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        call = a_step("1", message_id=new_message_id(), input=ODD)
        sleep = a_step("2", StepKind.SLEEP, due_at_ms=FAR, digest=b"", input=None)
        child = a_step("3.0.1", StepKind.CHILD, child_id=new_execution_id(new.workflow_id))
        await holder.wrote(begins(new, call, sleep, child))
        assert (await loaded(store, new)).steps == (call, sleep, child)

        done = ended(call, 1, ODD)._replace(attempts=4)
        bad = sleep._replace(
            status=StepStatus.FAILED, order=2, error=b'{"error": "E"}', ended_at_ms=8
        )
        gone = child._replace(status=StepStatus.CANCELLED, order=3, ended_at_ms=9)
        event = ended(a_step("4", StepKind.EVENT, name=""), 4, b"[1, 2]")
        await holder.wrote(turn(new, done, bad), turn(new, gone, event))
        assert (await loaded(store, new)).steps == (done, bad, gone, event)

    async def test_of_two_versions_of_a_step_in_one_write_the_last_stands(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        step = a_step("1", due_at_ms=FAR)
        await holder.wrote(begins(new, step), turn(new, ended(step, 1), a_step("2")))
        assert (await loaded(store, new)).steps == (ended(step, 1), a_step("2"))
        assert await store.timers([new.partition], until_ms=FAR) == []

    async def test_an_ended_step_stays_and_what_it_was_begun_with_never_changes(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        step, sleep = a_step("1"), a_step("2", StepKind.SLEEP, due_at_ms=FAR)
        await holder.wrote(begins(new, step, sleep))
        other = step._replace(
            kind=StepKind.RUN, name="other", digest=b"other", input=b"0", began_at_ms=9
        )
        await holder.wrote(turn(new, ended(other, 1, b"1"), ended(sleep, 2)))
        await holder.wrote(turn(new, ended(other, 5, b"2"), sleep))
        assert (await loaded(store, new)).steps == (ended(step, 1, b"1"), ended(sleep, 2))
        assert await store.timers([new.partition], until_ms=FAR) == []

    async def test_writing_the_same_turns_again_changes_nothing(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        child, signal = child_of(new), a_signal()
        await store.signal(new.workflow_id, signal)
        turns = (
            begins(
                new, a_step("1", StepKind.CHILD, child_id=child.execution_id), children=(child,)
            ),
            turn(new, ended(a_step("2", StepKind.SIGNAL), 1), taken=(signal.signal_id,)),
        )
        await holder.wrote(*turns)
        before = await loaded(store, new), await loaded(store, child)
        await holder.wrote(*turns)
        assert (await loaded(store, new), await loaded(store, child)) == before

        await holder.wrote(completes(child))
        told = (await loaded(store, new)).signals
        await holder.wrote(completes(child))
        assert (await loaded(store, new)).signals == told
        await holder.wrote(completes(new))
        ends = await loaded(store, new)
        await holder.wrote(completes(new, a_step("9"), output=b'"other"'))
        assert await loaded(store, new) == ends

    async def test_an_execution_lives_from_queued_to_its_end_with_its_times(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        await holder.wrote(begins(new))
        running = await read(store, new)
        assert (running.status, running.finished_at) == ("running", None)
        assert running.started_at is not None
        await holder.wrote(turn(new, status=ExecutionStatus.BLOCKED, error=ODD))
        blocked = await read(store, new)
        assert (blocked.status, blocked.error) == ("blocked", ODD)
        assert blocked.started_at == running.started_at
        await holder.wrote(begins(new), completes(new, output=ODD))
        done = await read(store, new)
        assert (done.status, done.output, done.error) == ("completed", ODD, None)
        assert done.started_at == running.started_at
        assert done.finished_at is not None
        assert done.created_at <= running.started_at <= done.finished_at
        assert done == await store.newest(new.workflow_id)

    async def test_an_end_without_a_value_is_null(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        done, bad = await started(store), await started(store)
        await holder.wrote(completes(done, output=None), fails(bad, error=None))
        assert (await read(store, done)).output == b"null"
        assert (await read(store, bad)).error == b"null"

    async def test_exactly_the_legal_moves_are_made_and_an_illegal_turn_leaves_nothing(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        for current, wanted in product(ExecutionStatus, (None, *ExecutionStatus)):
            new = await in_status(store, holder, current)
            before = await loaded(store, new)
            await holder.wrote(move_to(wanted, new))
            after = await loaded(store, new)
            if wanted is None:
                is_legal = current in {ExecutionStatus.RUNNING, ExecutionStatus.BLOCKED}
            else:
                is_legal = wanted in LEGAL_MOVES[current]
            if is_legal:
                assert after.steps == (a_step("7"),), (current, wanted)
                assert after.execution.status is (wanted or current)
            else:
                assert after == before, (current, wanted)

    async def test_turns_of_one_execution_stand_or_fall_together(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new, other = await started(store), await started(store)
        before = await loaded(store, new)
        await holder.wrote(
            begins(new), completes(new), turn(new, a_step("1")), begins(other, a_step("1"))
        )
        assert await loaded(store, new) == before
        await holder.wrote(turn(new, a_step("1")), begins(new))
        assert await loaded(store, new) == before
        assert (await loaded(store, other)).execution.status is ExecutionStatus.RUNNING

    async def test_a_turn_of_an_unknown_execution_or_of_another_partition_leaves_nothing(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        unknown, new = a_workflow(), await started(store)
        astray = replace(new, partition=(new.partition + 1) % 10)
        await holder.wrote(begins(unknown, a_step("1"), children=(child_of(unknown),)))
        await holder.wrote(begins(astray, a_step("1", due_at_ms=1)))
        assert await store.load([unknown.execution_id]) == []
        assert await store.newest(child_of(unknown).workflow_id) is None
        assert (await read(store, new)).status is ExecutionStatus.QUEUED
        assert await store.timers(range(10), until_ms=FAR) == []

    async def test_turns_of_partitions_held_by_somebody_else_are_told_and_left_out(
        self, store: WorkflowStore
    ) -> None:
        mine, theirs = await started(store), await started(store)
        while theirs.partition == mine.partition:
            theirs = await started(store)
        holder = await Holder.of(store, lease=LEASE, partitions=[mine.partition])
        assert await holder.write(begins(theirs), begins(mine)) == {theirs.partition}
        assert (await read(store, mine)).status is ExecutionStatus.RUNNING
        assert (await read(store, theirs)).status is ExecutionStatus.QUEUED

        stale = Holder(store, holder.agent_id, {mine.partition: holder.epochs[mine.partition] - 1})
        assert await stale.write(completes(mine)) == {mine.partition}
        assert (await read(store, mine)).status is ExecutionStatus.RUNNING
        assert await holder.write() == frozenset()

    async def test_steps_that_are_due_are_timers_until_they_end(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store, deadline_at_ms=700)
        late, soon = a_step("1", StepKind.SLEEP, due_at_ms=900), a_step("2", due_at_ms=100)
        await holder.wrote(begins(new, late, soon))

        async def due(until_ms: int = FAR, limit: int = 100) -> list[tuple[str, int]]:
            found = await store.timers([new.partition], until_ms=until_ms, limit=limit)
            assert {each.execution_id for each in found} <= {new.execution_id}
            return [(each.step, each.due_at_ms) for each in found]

        assert await due() == [("2", 100), ("", 700), ("1", 900)]
        assert await due(700) == [("2", 100), ("", 700)]
        assert await due(limit=1) == [("2", 100)]
        assert await store.timers([], until_ms=FAR) == []
        assert await store.timers([(new.partition + 1) % 10], until_ms=FAR) == []
        await holder.wrote(turn(new, ended(soon, 1), late._replace(due_at_ms=50)))
        assert await due() == [("1", 50), ("", 700)]
        await holder.wrote(completes(new))
        assert await due() == []

    async def test_signals_taken_or_refused_are_not_told_again(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        signals = [a_signal(f"s{n}", sent_at_ms=n) for n in range(3)]
        for each in signals:
            await store.signal(new.workflow_id, each)
        assert await store.open_executions(new.partition) == [new.execution_id]
        await holder.wrote(
            begins(
                new,
                taken=(signals[0].signal_id,),
                refused={signals[1].signal_id: b'{"error":"SignalInvalid"}'},
            )
        )
        assert (await loaded(store, new)).signals == (signals[2],)
        refused = [(signals[1], b'{"error":"SignalInvalid"}')]
        assert await store.refused_signals(new.execution_id) == refused
        assert await store.open_executions(new.partition) == [new.execution_id]
        await holder.wrote(turn(new, taken=(signals[2].signal_id,)))
        assert (await loaded(store, new)).signals == ()
        assert await store.open_executions(new.partition) == []

    async def test_signals_nobody_took_are_over_when_the_execution_is(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        await store.signal(new.workflow_id, a_signal())
        await holder.wrote(begins(new))
        assert await store.open_executions(new.partition) == [new.execution_id]
        await holder.wrote(completes(new))
        assert await store.open_executions(new.partition) == []
        assert (await loaded(store, new)).signals == ()

    async def test_a_child_begins_with_the_turn_of_its_parent_and_tells_it_how_it_ended(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        done, bad = child_of(parent, "1", deadline_at_ms=77), child_of(parent, "2.0.1", input=ODD)
        await holder.wrote(begins(parent, children=(done, bad)))
        kept = await read(store, bad)
        assert kept == await store.newest(bad.workflow_id)
        assert (kept.status, kept.parent, kept.input) == ("queued", bad.parent, ODD)
        assert [
            each.execution_id for each in await store.timers([done.partition], until_ms=77)
        ] == [done.execution_id]
        assert not await store.withdraw(bad.execution_id)

        await holder.wrote(completes(done, output=ODD))
        await holder.wrote(begins(bad), fails(bad, error=b'{"error":"E"}'))
        first, second = (await loaded(store, parent)).signals
        assert (first.signal_id, first.name) == (as_signal(done), "1")
        assert first.kind is SignalKind.CHILD
        assert orjson.loads(first.value) == {
            "status": "completed",
            "output": orjson.loads(ODD),
            "error": None,
        }
        assert (second.signal_id, second.name) == (as_signal(bad), "2.0.1")
        assert orjson.loads(second.value) == {
            "status": "failed",
            "output": None,
            "error": {"error": "E"},
        }
        assert parent.execution_id in await store.open_executions(parent.partition)

    async def test_the_end_of_a_child_is_told_to_nobody_when_the_parent_has_ended(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child, late = child_of(parent, "1"), child_of(parent, "2")
        await holder.wrote(begins(parent, children=(child, late)), completes(parent))
        await holder.wrote(completes(child))
        assert (await loaded(store, parent)).signals == ()
        other = await started(store)
        twin = child_of(other)
        await holder.wrote(begins(other, children=(twin,)))
        await holder.wrote(completes(other), completes(twin))
        assert (await loaded(store, other)).signals == ()
        assert await store.open_executions(other.partition) == (
            [late.execution_id] if late.partition == other.partition else []
        )

    async def test_later_turns_of_a_write_see_what_earlier_ones_made(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        grandchild = child_of(child)
        told = as_signal(child)
        await holder.wrote(
            begins(parent, a_step("1", StepKind.CHILD), children=(child,)),
            begins(child, children=(grandchild,)),
            completes(grandchild),
            completes(child, taken=(as_signal(grandchild),)),
            turn(parent, ended(a_step("1", StepKind.CHILD), 1), taken=(told,)),
        )
        for each in (child, grandchild):
            found = await loaded(store, each)
            assert (found.execution.status, found.signals) == ("completed", ())
        assert (await loaded(store, parent)).steps == (ended(a_step("1", StepKind.CHILD), 1),)
        assert (await loaded(store, parent)).signals == ()
        assert await store.open_executions(parent.partition) == []

    async def test_a_child_whose_id_is_taken_is_told_as_failed(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        stranger = a_workflow(child.workflow_id)
        await store.start(stranger)
        await holder.wrote(begins(parent, children=(child,)))
        assert await store.execution(child.execution_id) is None
        (signal,) = (await loaded(store, parent)).signals
        assert (signal.signal_id, signal.name) == (as_signal(child), "1")
        assert signal.kind is SignalKind.CHILD
        told = orjson.loads(signal.value)
        assert (told["status"], told["output"]) == ("failed", None)
        assert told["error"]["error"] == "WorkflowIdTaken"
        assert child.workflow_id in told["error"]["message"]
        assert "WorkflowError" in told["error"]["types"]

    async def test_a_child_of_the_same_workflow_that_has_ended_gets_another_execution(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child, second = child_of(parent), next_of(parent)
        await holder.wrote(begins(parent, children=(child,)))
        early = child_of(parent)
        await holder.wrote(turn(parent, children=(early,)))
        assert await store.execution(early.execution_id) is None
        assert [each.signal_id for each in (await loaded(store, parent)).signals] == [
            as_signal(early)
        ]
        await holder.wrote(completes(child))
        await holder.wrote(turn(parent, status=ExecutionStatus.CONTINUED, continued=second))
        again = child_of(second)
        await holder.wrote(begins(second, children=(again,)))
        assert (await read(store, again)).run == 2
        newest = await store.newest(child.workflow_id)
        assert newest is not None
        assert newest.execution_id == again.execution_id
        assert (await loaded(store, second)).signals == ()

    async def test_a_child_that_continues_has_not_ended_whichever_turn_comes_first(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        for parent_is_first in (True, False):
            parent = await started(store)
            child, again = child_of(parent), child_of(parent)
            await holder.wrote(begins(parent, children=(child,)))
            await holder.wrote(begins(child))
            second = next_of(replace(child, parent=None))
            turns = [
                turn(parent, children=(again,)),
                turn(child, status=ExecutionStatus.CONTINUED, continued=second),
            ]
            await holder.wrote(*(turns if parent_is_first else turns[::-1]))
            assert await store.execution(again.execution_id) is None
            assert (await store.newest(child.workflow_id)) == await read(store, second)
            assert [each.signal_id for each in (await loaded(store, parent)).signals] == [
                as_signal(again)
            ]

    async def test_an_execution_that_continues_hands_on_its_signals_and_its_parent(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        root = await started(store)
        new = child_of(root)
        await holder.wrote(begins(root, children=(new,)))
        grandchild = child_of(new, "5")
        after = next_of(replace(new, parent=None), input=b'"next"', deadline_at_ms=88)
        taken, kept, cancel = a_signal("a"), a_signal("b"), a_signal(kind=SignalKind.CANCEL)
        for each in (taken, kept, cancel):
            await store.signal(new.workflow_id, each)
        await holder.wrote(begins(new, children=(grandchild,)))
        await holder.wrote(completes(grandchild))
        await holder.wrote(
            turn(
                new,
                status=ExecutionStatus.CONTINUED,
                taken=(taken.signal_id,),
                continued=after,
            )
        )
        old, fresh = await loaded(store, new), await loaded(store, after)
        assert (old.execution.status, old.signals) == ("continued", ())
        assert old.execution.finished_at is not None
        assert (fresh.execution.status, fresh.execution.run) == ("queued", 2)
        assert (fresh.execution.input, fresh.execution.parent) == (b'"next"', new.parent)
        assert sorted(fresh.signals) == sorted((kept, cancel))
        assert await store.newest(new.workflow_id) == fresh.execution
        assert (await loaded(store, root)).signals == ()
        assert not await store.withdraw(after.execution_id)

        later = a_signal("c")
        assert (await store.signal(new.workflow_id, later)).execution_id == after.execution_id
        await holder.wrote(completes(after))
        assert [each.signal_id for each in (await loaded(store, root)).signals] == [
            as_signal(after)
        ]

    async def test_a_start_of_a_workflow_that_continued_is_compared_with_its_first_input(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        after = next_of(new, input=b'"next"')
        await holder.wrote(
            begins(new), turn(new, status=ExecutionStatus.CONTINUED, continued=after)
        )
        again = await store.start(a_workflow(new.workflow_id))
        assert (again.is_new, again.execution.execution_id) == (False, after.execution_id)

    async def test_what_wants_attention_is_listed_in_pages_by_partition(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        queued = [await started(store, workflow_id=f"root/{n}") for n in range(3)]
        partition = queued[0].partition
        signalled = [await started(store, workflow_id=f"root/s{n}") for n in range(2)]
        quiet = await started(store, workflow_id="root/quiet")
        await holder.wrote(*map(begins, (*signalled, quiet)))
        for each in signalled * 2:
            await store.signal(each.workflow_id, a_signal())
        wanted = sorted(each.execution_id for each in (*queued, *signalled))
        assert await store.open_executions(partition) == wanted
        assert await store.open_executions(partition, limit=2) == wanted[:2]
        assert await store.open_executions(partition, after=wanted[1], limit=2) == wanted[2:4]
        assert await store.open_executions((partition + 1) % 10) == []

    async def test_pending_calls_are_listed_in_pages_by_execution_and_key(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        news = sorted(
            [await started(store, workflow_id=f"root/{n}") for n in range(4)],
            key=lambda each: each.execution_id,
        )
        partition = news[0].partition
        steps = [a_step(key, message_id=new_message_id()) for key in ("1", "10", "9")]
        for new in news:
            await holder.wrote(
                begins(new, *steps, a_step("8", StepKind.SLEEP), ended(a_step("7"), 1))
            )
        await holder.wrote(completes(news[1]))
        await holder.wrote(turn(news[2], status=ExecutionStatus.BLOCKED))
        await holder.wrote(turn(news[3], ended(steps[1], 2)))
        expected = [
            (await read(store, new), step)
            for new in (news[0], news[2], news[3])
            for step in steps
            if (new, step) != (news[3], steps[1])
        ]
        assert await store.pending_calls(partition) == expected
        assert await store.pending_calls(partition, limit=4) == expected[:4]
        for n in range(len(expected)):
            after = (expected[n][0].execution_id, expected[n][1].key)
            rest = await store.pending_calls(partition, after=after)
            assert rest == expected[n + 1 :]
        assert await store.pending_calls((partition + 1) % 10) == []

    async def test_blocked_executions_are_listed_by_the_names_of_their_functions(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        a, b, c = [
            await started(store, workflow_id=f"root/{n}", name=name)
            for n, name in enumerate(("a", "b", "a"))
        ]
        await holder.wrote(
            *(turn(each, status=ExecutionStatus.BLOCKED, error=b"{}") for each in (a, b, c))
        )
        both = sorted((a.execution_id, c.execution_id))
        assert await store.blocked(a.partition, names=["a", "z"]) == both
        assert await store.blocked(a.partition, names=["a"], limit=1) == both[:1]
        assert await store.blocked(a.partition, names=["a"], after=both[0]) == both[1:]
        assert await store.blocked(a.partition, names=[]) == []
        assert await store.blocked((a.partition + 1) % 10, names=["a", "b"]) == []
        await holder.wrote(begins(a))
        assert (await read(store, a)).error is None
        assert await store.blocked(a.partition, names=["a"]) == [c.execution_id]

    async def test_a_turn_that_takes_a_signal_nobody_sent_is_written(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        stray: Signal = a_signal()
        await holder.wrote(begins(new, taken=(stray.signal_id,)))
        assert (await read(store, new)).status is ExecutionStatus.RUNNING
