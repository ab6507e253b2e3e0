# ruff: noqa: ANN401 - a fake takes what its original takes
"""From a transaction to a lane: what a relay promises, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

import octoqueue
from octoqueue.errors import (
    DeclarationError,
    EnvelopeTooLarge,
    PayloadNotSerializable,
    SentTooLate,
    StoreProtocolError,
    StoreUnavailable,
)
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.postgres.listener import Listener
from octoqueue.postgres.outbox import CHANNEL
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.ids import id_from_text, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.once import SEND_WITHIN
from tests.outbox_world import QUEUE, SESSION, OutboxWorld, outbox_world
from tests.program import message
from tests.running import WatchedStore, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from octoqueue.postgres.outbox import ClaimedRows

NARROW = LaneOptions(
    partitions=1, default_bounds=LaneBounds(high=5, normal=5, low=5), delayed_bound=2
)


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncGenerator[OutboxWorld]:
    async with outbox_world(postgres_dsn, redis_url) as world:
        yield world


@pytest.fixture
async def narrow(postgres_dsn: str, redis_url: str) -> AsyncGenerator[OutboxWorld]:
    async with outbox_world(postgres_dsn, redis_url, NARROW) as world:
        yield world


def some(count: int, *, queue: str = QUEUE) -> list[octoqueue.MessageHandle[object]]:
    return [message(queue, "work", number) for number in range(count)]


def numbers(leases: Sequence[Any]) -> list[int]:
    return sorted(decode_body(lease.payload).args[0] for lease in leases)


# ── the transaction ──────────────────────────────────────────────────────────────────────────────


async def test_a_commit_gives_exactly_one_message_and_before_it_there_is_none(
    world: OutboxWorld,
) -> None:
    async with world.pool.transaction(purpose="test") as connection:
        (handle,) = await octoqueue.enqueue_in(connection, *some(1), broker=world.broker)
        await world.drained()
        assert not await world.claim()
    await world.drained()
    (lease,) = await world.claim()
    assert text_from_id(lease.message_id) == handle.message_id
    assert await world.rows() == 0


async def test_a_rollback_leaves_nothing(world: OutboxWorld) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with world.pool.transaction(purpose="test") as connection:
            await octoqueue.enqueue_in(connection, *some(3), broker=world.broker)
            raise ZeroDivisionError
    await world.drained()
    assert not await world.claim()
    assert await world.rows() == 0


async def test_without_a_transaction_nothing_is_written(world: OutboxWorld) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        with pytest.raises(DeclarationError, match="open transaction"):
            await octoqueue.enqueue_in(connection, *some(1), broker=world.broker)
    finally:
        await connection.close()
    assert await world.rows() == 0


async def test_what_can_never_be_sent_is_refused_before_the_commit(world: OutboxWorld) -> None:
    for wrong, error in (
        (message(QUEUE, "work", "x" * 2_000_000), EnvelopeTooLarge),
        (message(QUEUE, "work", object()), PayloadNotSerializable),
    ):
        with pytest.raises(error):
            await world.add(wrong)
    assert await world.rows() == 0


async def test_lane_delay_and_results_are_those_of_the_message(world: OutboxWorld) -> None:
    @octoqueue.actor(queue=QUEUE, broker=world.broker, results=True)
    async def work(number: int) -> None: ...

    await world.add(
        work.using(lane="high").message(1), work.using(delay=timedelta(hours=1)).message(2)
    )
    await world.drained()
    (lease,) = await world.claim()
    assert unpack_header(lease.payload).lane is Lane.HIGH
    stats = await world.store.stats(QUEUE)
    assert (stats.waiting, stats.delayed) == (0, 1)


async def test_the_handle_of_an_outbox_message_gives_its_result(world: OutboxWorld) -> None:
    @octoqueue.actor(queue=QUEUE, broker=world.broker, results=True)
    async def double(number: int) -> int:
        return number * 2

    async with world.pool.transaction(purpose="test") as connection:
        (handle,) = await octoqueue.enqueue_in(connection, double.message(21))
    await world.drained()
    async with running(world.broker, QUEUE):
        assert await handle.result(timeout=timedelta(seconds=10)) == 42


# ── exactly one message ──────────────────────────────────────────────────────────────────────────


async def test_two_relays_move_every_row_once(world: OutboxWorld) -> None:
    await world.add(*some(500))
    await asyncio.gather(world.drained(), world.drained())
    await world.drained()
    assert numbers(await world.claim()) == list(range(500))
    assert await world.rows() == 0


class Killed(BaseException):
    """A process that ends where it stands."""


class DyingOutbox:
    """An outbox whose relay dies in the claim, at each write, or while it commits."""

    def __init__(self, world: OutboxWorld, *, dies_at: str) -> None:
        self._inner = world.outbox
        self._dies_at = dies_at

    @asynccontextmanager
    async def claimed(self, **options: Any) -> AsyncGenerator[ClaimedRows]:
        async with self._inner.claimed(**options) as claimed:
            self._die("claim")
            delete = claimed.delete

            async def deleting(ids: Any) -> None:
                self._die("delete")
                await delete(ids)
                self._die("commit")

            claimed.delete = deleting  # type: ignore[method-assign,assignment]
            yield claimed
        self._die("committed")

    def _die(self, here: str) -> None:
        if here == self._dies_at:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("dies_at", ["claim", "delete", "commit", "committed"])
@pytest.mark.parametrize("has_run", [False, True])
async def test_a_relay_that_dies_around_its_transaction_leaves_one_message_of_each_row(
    world: OutboxWorld, dies_at: str, *, has_run: bool
) -> None:
    await world.add(*some(7))
    with pytest.raises(Killed):
        await world.relay(outbox=DyingOutbox(world, dies_at=dies_at)).relay()  # type: ignore[arg-type]
    ran = []
    if has_run:  # and ended, before another relay reads the row again
        ran = await world.claim()
        await world.store.commit(SESSION, acks=ran)
    await world.drained()
    assert numbers([*ran, *await world.claim()]) == list(range(7))
    assert await world.rows() == 0


@pytest.mark.parametrize("verb", ["now_ms", "enqueue_once"])
@pytest.mark.parametrize("lost_answer", [False, True])
async def test_a_relay_that_dies_at_a_call_of_the_store_leaves_one_message_of_each_row(
    world: OutboxWorld, verb: str, *, lost_answer: bool
) -> None:
    await world.add(*some(7))
    store = WatchedStore(world.store)
    store.fail(verb, Killed(), lost_answer=lost_answer)
    with pytest.raises(Killed):
        await world.relay(store=store.lanes).relay()
    await world.drained()
    assert numbers(await world.claim()) == list(range(7))
    assert await world.rows() == 0


async def test_a_message_with_a_unique_key_of_its_own_keeps_both_rules(world: OutboxWorld) -> None:
    @octoqueue.actor(
        queue=QUEUE, broker=world.broker, unique=octoqueue.Unique(key=lambda number: "one")
    )
    async def work(number: int) -> None: ...

    await world.add(work.message(1), work.message(2))
    with pytest.raises(Killed):
        await world.relay(outbox=DyingOutbox(world, dies_at="delete")).relay()  # type: ignore[arg-type]
    ran = await world.claim()
    assert len(ran) == 1  # two rows of one key are one message
    await world.store.commit(SESSION, acks=ran)
    await world.drained()
    assert not await world.claim()  # and the row of one that has run is no second one
    assert await world.rows() == 0
    await world.add(work.message(3))
    await world.drained()
    assert numbers(await world.claim()) == [3]


async def test_relays_stopped_at_any_moment_leave_one_message_of_each_row(
    world: OutboxWorld,
) -> None:
    """Each stops a few turns of the loop later than the one before, until one comes through."""
    turns, stopped, came_through = 0, 0, False
    while not came_through:
        await world.add(message(QUEUE, "work", stopped))
        under_way = asyncio.create_task(world.relay().relay())
        for _ in range(turns):
            await asyncio.sleep(0)
        came_through = under_way.done()
        under_way.cancel()
        await asyncio.wait([under_way])
        turns, stopped = turns + 1 + turns // 6, stopped + 1
    await world.drained()
    assert stopped > 10
    assert numbers(await world.claim()) == list(range(stopped))
    assert await world.rows() == 0


async def test_a_relay_held_up_until_its_rows_were_long_moved_sends_nothing(
    world: OutboxWorld,
) -> None:
    await world.add(*some(1))
    store = WatchedStore(world.store)

    async def held_up() -> None:
        await world.drained()  # another relay: our row lock went with our connection
        world_store: Any = world.store
        real_ms = await world.store.now_ms()
        # As if time had gone on in the server, by more than a call may be late.
        world_store._now = lambda: real_ms + SEND_WITHIN // timedelta(milliseconds=1) + 1

    store.before["enqueue_once"] = held_up
    with pytest.raises(SentTooLate):
        await world.relay(outbox=UnlockedOutbox(world), store=store.lanes).relay()  # type: ignore[arg-type]
    world.store._now = lambda: 0  # type: ignore[attr-defined]
    assert numbers(await world.claim()) == [0]


class UnlockedOutbox:
    """An outbox whose claim lost its connection after reading."""

    def __init__(self, world: OutboxWorld) -> None:
        self._world = world

    @asynccontextmanager
    async def claimed(self, **options: Any) -> AsyncGenerator[ClaimedRows]:
        async with self._world.outbox.claimed(**options) as claimed:
            pass
        yield claimed


# ── what cannot be moved now, or ever ────────────────────────────────────────────────────────────


async def test_a_full_lane_holds_up_its_own_rows_and_no_others(narrow: OutboxWorld) -> None:
    await narrow.add(*some(9), *some(3, queue="other"))
    relay = narrow.relay()
    while await relay.relay():
        pass
    assert len(await narrow.claim("other")) == 3
    assert await narrow.rows() == 4
    taken = await narrow.claim()
    await until(relay.relay)
    assert numbers([*taken, *await narrow.claim()]) == list(range(9))
    assert await narrow.rows() == 0


async def test_delayed_messages_without_room_do_not_hold_up_those_of_now(
    narrow: OutboxWorld,
) -> None:
    late = [message(QUEUE, "work", number) for number in range(4)]
    for each in late:
        each.options["delay"] = 3_600_000
    await narrow.add(*late)
    await narrow.add(*some(2))
    await narrow.drained()
    assert (await narrow.store.stats(QUEUE)).delayed == 2
    assert len(await narrow.claim()) == 2
    entries = await narrow.outbox.entries(limit=10, failed_only=False)
    assert [entry.attempts for entry in entries] == [1, 1]
    assert all("DelayedFull" in str(entry.last_error) for entry in entries)


async def test_a_row_that_can_never_be_enqueued_is_set_aside_and_shown_until_it_is_retried(
    world: OutboxWorld,
) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        lost = await connection.fetchval("select octoqueue_enqueue('unheard_of')")
        large = await connection.fetchval(
            "select octoqueue_enqueue('work', to_jsonb(array[repeat('x', 2000000)]), queue => $1)",
            QUEUE,
        )
    finally:
        await connection.close()
    await world.add(*some(2))
    await world.drained()
    assert len(await world.claim()) == 2
    failed = await world.outbox.entries(limit=10, failed_only=True)
    reasons = {entry.message_id: str(entry.last_error) for entry in failed}
    assert reasons.keys() == {str(lost), str(large)}
    assert "no actor named 'unheard_of'" in reasons[str(lost)]
    assert "the limit is" in reasons[str(large)]
    assert (await world.outbox.size()).failed == 2

    @octoqueue.actor(queue="found", broker=world.broker)
    async def unheard_of() -> None: ...

    assert len(await world.outbox.retry(None)) == 2
    await world.drained()
    assert [str(lost)] == [text_from_id(lease.message_id) for lease in await world.claim("found")]
    (still,) = await world.outbox.entries(limit=10, failed_only=True)
    ident = id_from_text(still.message_id)
    assert ident is not None
    assert await world.outbox.drop([ident]) == [str(large)]
    assert await world.rows() == 0


@pytest.mark.parametrize("args", ["[1e400]", "[" * 2_000 + "]" * 2_000])
async def test_json_that_python_cannot_read_is_set_aside_and_holds_up_nothing(
    world: OutboxWorld, args: str
) -> None:
    async with world.pool.transaction(purpose="test") as connection:
        for each in (args, "[7]"):
            await connection.execute(
                "select octoqueue_enqueue('work', $1::jsonb, queue => $2)", each, QUEUE
            )
    await world.drained()
    assert numbers(await world.claim()) == [7]
    (failed,) = await world.outbox.entries(limit=10, failed_only=True)
    assert failed.last_error is not None
    assert failed.last_error.startswith("InvalidMessage: args, kwargs or options: cannot be read")


async def test_a_message_the_server_does_not_take_is_put_off_and_the_others_go(
    world: OutboxWorld,
) -> None:
    rows = some(3)
    await world.add(*rows)
    store = WatchedStore(world.store)

    async def refuse() -> None:
        (sent, _), _ = store.called("enqueue_once")[-1]
        if any(decode_body(one.payload).args == [1] for one in sent):
            raise StoreProtocolError("no")

    store.before["enqueue_once"] = refuse
    await world.relay(store=store.lanes).relay()
    assert numbers(await world.claim()) == [0, 2]
    (left,) = await world.outbox.entries(limit=10, failed_only=False)
    assert (left.message_id, left.failed_at) == (rows[1].message_id, None)


# ── from any language ────────────────────────────────────────────────────────────────────────────


async def test_the_sql_function_enqueues_as_if_the_actor_had_been_sent(world: OutboxWorld) -> None:
    @octoqueue.actor(queue="coder", lane="high", broker=world.broker, results=True)
    async def write(goal: str, *, tries: int) -> None: ...

    connection = await asyncpg.connect(world.dsn)
    try:
        async with connection.transaction():
            ident = await connection.fetchval(
                "select octoqueue_enqueue('write', '[\"a goal\"]', '{\"tries\": 3}')"
            )
            await world.drained()
            assert not await world.claim("coder")
    finally:
        await connection.close()
    await world.drained()
    (lease,) = await world.claim("coder")
    header, call = unpack_header(lease.payload), decode_body(lease.payload)
    assert text_from_id(header.message_id) == str(ident)
    assert ident.version == 7
    assert header.lane is Lane.HIGH
    assert (call.actor, call.args, call.kwargs) == ("write", ["a goal"], {"tries": 3})


async def test_the_sql_function_takes_queue_lane_delay_and_options(world: OutboxWorld) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        await connection.execute(
            "select octoqueue_enqueue('elsewhere', queue => 'coder', lane => 'low',"
            " options => '{\"max_retries\": 1}')"
        )
        await connection.execute(
            "select octoqueue_enqueue('elsewhere', queue => 'coder', delay => '1 hour')"
        )
    finally:
        await connection.close()
    await world.drained()
    (lease,) = await world.claim("coder")
    assert unpack_header(lease.payload).lane is Lane.LOW
    assert decode_body(lease.payload).options["max_retries"] == 1
    assert (await world.store.stats("coder")).delayed == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("''", "actor: is empty"),
        ("'a', args => '{}'", "args: must be a JSON array"),
        ("'a', kwargs => '[]'", "kwargs: must be a JSON object"),
        ("'a', queue => 'a b'", "queue: 'a b' is no name of a queue"),
        ("'a', lane => 'urgent'", "lane: 'urgent' is none of high, normal, low"),
        ("'a', delay => '-1 second'", "delay: -00:00:01 is negative"),
        ("'a', delay => '2 years'", "delay: 2 years is longer than 366 days"),
        ("'a', options => 'null'", "options: must be a JSON object"),
    ],
)
async def test_the_sql_function_refuses_what_is_impossible_and_names_the_parameter(
    world: OutboxWorld, arguments: str, named: str
) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        with pytest.raises(asyncpg.InvalidParameterValueError, match=named):
            await connection.execute(f"select octoqueue_enqueue({arguments})")
    finally:
        await connection.close()


async def test_ids_made_in_sql_are_time_ordered(world: OutboxWorld) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        made = [await connection.fetchval("select octoqueue_uuid7()") for _ in range(3)]
        now_ms = await connection.fetchval("select extract(epoch from now()) * 1000")
    finally:
        await connection.close()
    assert all(each.version == 7 and each.variant == "specified in RFC 4122" for each in made)
    stamps = [int.from_bytes(each.bytes[:6]) for each in made]
    assert stamps == sorted(stamps)
    assert abs(stamps[-1] - float(now_ms)) < 60_000


# ── the service ──────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def relaying(world: OutboxWorld, **options: Any) -> AsyncGenerator[None]:
    relay = world.relay(**options)
    listener = Listener(world.pool, CHANNEL, relay.nudge)
    await relay.start()
    await listener.start()
    try:
        yield
    finally:
        await listener.stop()
        await relay.stop()
        await relay.stop()


async def test_a_relay_hears_of_a_commit_and_needs_no_look(world: OutboxWorld) -> None:
    async with relaying(world):
        for number in range(5):
            await world.add(message(QUEUE, "work", number))
            await until(lambda: _waiting(world, count=1))
            assert numbers(await world.claim()) == [number]


async def test_once_a_minute_a_relay_tells_what_it_did_and_what_is_old(
    world: OutboxWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octoqueue.maintenance.relay.MEASURE_EVERY", timedelta(0))
    caplog.set_level("INFO", "octoqueue.maintenance.relay")
    async with world.pool.transaction(purpose="test") as connection:
        await connection.execute("select octoqueue_enqueue('unheard_of')")
    await world.add(*some(3))
    async with relaying(world):
        await until(lambda: {"outbox_relayed", "outbox_waits"} <= set(caplog.messages))
    told = {record.message: record.__dict__ for record in caplog.records}
    assert told["outbox_relayed"]["messages"] == 3
    assert (told["outbox_waits"]["pending"], told["outbox_waits"]["failed"]) == (0, 1)


async def test_a_relay_goes_on_when_redis_was_gone(world: OutboxWorld) -> None:
    store = WatchedStore(world.store)
    gone = [StoreUnavailable("Redis", reason="the test says so") for _ in range(2)]
    store.fail("enqueue_once", *gone)
    async with relaying(world, store=store.lanes):
        await world.add(*some(3))
        await until(lambda: _waiting(world, count=3))
    assert len(store.called("enqueue_once")) >= 3
    assert await world.rows() == 0


async def test_a_relay_goes_on_when_its_database_connections_were_cut(world: OutboxWorld) -> None:
    async with relaying(world):
        await world.add(*some(1))
        await until(lambda: _waiting(world, count=1))
        connection = await asyncpg.connect(world.dsn)
        try:
            await connection.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            await connection.execute("select octoqueue_enqueue('work', '[1]', queue => $1)", QUEUE)
        finally:
            await connection.close()
        await until(lambda: _waiting(world, count=2))


async def _waiting(world: OutboxWorld, *, count: int) -> bool:
    return (await world.store.stats(QUEUE)).waiting == count
