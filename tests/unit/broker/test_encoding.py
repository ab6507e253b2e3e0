"""A program's own dramatiq encoder, on our worker."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import orjson
import pytest
from dramatiq.encoder import Encoder, JSONEncoder, PickleEncoder

import octoqueue
from octoqueue.errors import PayloadNotSerializable
from octoqueue.primitives.envelope import Flag, decode_body, unpack_header
from octoqueue.primitives.messages import SessionId
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import SHORTLY, broker_on, reason_of_death, running, until_done

if TYPE_CHECKING:
    from collections.abc import Generator

MOMENT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)


class Secret(Encoder):
    """Reverses the bytes of the JSON: enough to be unreadable by anybody else."""

    def encode(self, data: dict[str, Any]) -> bytes:
        return json.dumps(data).encode()[::-1]

    def decode(self, data: bytes) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(data[::-1])
        return fields


class Dates(JSONEncoder):
    """JSON in which a moment is an object."""

    def encode(self, data: dict[str, Any]) -> bytes:
        return json.dumps(data, default=lambda moment: {"moment": moment.timestamp()}).encode()

    def decode(self, data: bytes) -> dict[str, Any]:
        def hook(found: dict[str, Any]) -> object:
            return datetime.fromtimestamp(found["moment"], tz=UTC) if "moment" in found else found

        fields: dict[str, Any] = json.loads(data, object_hook=hook)
        return fields


@pytest.fixture(autouse=True)
def default_encoder() -> Generator[None]:
    before = dramatiq.get_encoder()
    yield
    dramatiq.set_encoder(before)


@pytest.mark.parametrize("kind", [PickleEncoder, Secret, Dates])
async def test_what_a_programs_encoder_can_carry_reaches_the_actor(kind: type[Encoder]) -> None:
    dramatiq.set_encoder(kind())
    broker, ran = broker_on(), list[Any]()
    argument = "text" if kind is Secret else MOMENT

    @octoqueue.actor(broker=broker, results=True)
    async def work(first: object, *, second: object = None) -> int:
        ran.append((first, second))
        return len(ran)

    async with running(broker):
        handle = await work.asend(argument, second=[argument])
        assert await handle.result(timeout=SHORTLY) == 1
    assert ran == [(argument, [argument])]


async def test_an_encoded_message_keeps_its_arguments_to_itself_and_says_what_it_is() -> None:
    dramatiq.set_encoder(Secret())
    store = MemoryLaneStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="mail")
    async def tell(_secret: str) -> None: ...

    handle = await tell.using(lane="high").asend("the password")
    lease = (await store.claim(SessionId("test"), ["mail"], limit=1))[0]
    header, call = unpack_header(lease.payload), decode_body(lease.payload)
    assert b"password" not in lease.payload
    assert (header.lane.label, header.flags) == ("high", Flag.NONE)
    assert (call.actor, call.queue, call.args, call.kwargs) == ("tell", "mail", [], {})
    assert call.message_id(header) == handle.message_id
    assert call.encoded is not None
    assert call.encoded.encoder == "Secret"


async def test_pipelines_and_retries_carry_on_with_the_encoder() -> None:
    dramatiq.set_encoder(PickleEncoder())
    broker, ran = broker_on(), list[Any]()

    @octoqueue.actor(broker=broker, max_retries=1, min_backoff=timedelta(0))
    def first(moment: datetime) -> datetime:
        ran.append("first")
        if len(ran) == 1:
            raise octoqueue.Retry
        return moment

    @octoqueue.actor(broker=broker)
    def second(moment: datetime) -> None:
        ran.append(moment)

    any_arguments: Any = second
    async with running(broker):
        pipe = dramatiq.pipeline([first.message(MOMENT), any_arguments.message()], broker=broker)
        await broker.aenqueue(pipe.messages[0])
        await until_done(broker.store(), "default", 2)
    assert ran == ["first", "first", MOMENT]


async def test_nothing_is_unpickled_in_a_process_that_has_not_chosen_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = MemoryLaneStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work(_value: object) -> None: ...

    dramatiq.set_encoder(PickleEncoder())
    await work.asend(Harmful())
    dramatiq.set_encoder(JSONEncoder())
    async with running(broker):
        reason = await reason_of_death(store, "default")
    assert reason["error"] == "EnvelopeError"
    assert "PickleEncoder" in reason["message"]
    assert "JSONEncoder" in reason["message"]
    assert "harm" not in capsys.readouterr().out
    pickle.loads(pickle.dumps(Harmful()))
    assert "harm" in capsys.readouterr().out, "it does harm wherever it is unpickled"


async def test_plain_messages_are_read_whatever_the_encoder() -> None:
    broker, ran = broker_on(), list[object]()

    @octoqueue.actor(broker=broker)
    async def work(value: object) -> None:
        ran.append(value)

    await work.asend("plain")
    dramatiq.set_encoder(Secret())
    async with running(broker):
        await until_done(broker.store(), "default", 1)
    assert ran == ["plain"]


async def test_an_encoder_that_fails_refuses_the_message_and_names_itself() -> None:
    dramatiq.set_encoder(Secret())
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work(_value: object) -> None: ...

    with pytest.raises(PayloadNotSerializable, match=r"work.*Secret"):
        await work.asend(object())


@pytest.mark.parametrize("decoded", [b"[]", b"{}", b'{"args":[],"kwargs":[],"options":{}}'])
async def test_what_decodes_to_no_message_is_dead(decoded: bytes) -> None:
    dramatiq.set_encoder(Secret())
    store = MemoryLaneStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    await work.asend()
    queue = store._queue("default")
    payload = next(lane for lane in queue.ready.values() if lane).pop()
    body = orjson.loads(payload[32:]) | {"encoded": b64encode(decoded[::-1]).decode()}
    queue.ready[octoqueue.Lane.NORMAL].append(payload[:32] + orjson.dumps(body))
    async with running(broker):
        assert (await reason_of_death(store, "default"))["error"] == "EnvelopeError"


class Harmful:
    """Does harm when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (print, ("harm",))
