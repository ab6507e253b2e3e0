"""What a message carries for the store: gates, unique key, moments; and where it lies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.errors import DeclarationError, DuplicateMessage, InvalidMessage, UnitsOverBurst
from octoqueue.primitives.envelope import Flag, decode_body, extension_of, unpack_header
from octoqueue.primitives.extension import NO_EXTENSION, Extension, LimitUse, UniqueMode
from octoqueue.primitives.gates import Gates, RateLimit, TenantShare
from octoqueue.primitives.ids import affinity_of_name, text_from_id
from octoqueue.settings.root import Settings
from tests.running import WatchedStore, broker_on

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue

MINUTE = timedelta(minutes=1)
OPENAI = octoqueue.RateLimit("openai", rate=100, per=MINUTE)


def sent(store: WatchedStore) -> list[Enqueue]:
    """All messages that were put into a store."""
    return [m for args, _ in store.called("enqueue") for group in args[0] for m in group]


def extensions(store: WatchedStore) -> list[Extension]:
    return [extension_of(message.payload) for message in sent(store)]


async def test_an_actor_without_gates_sends_plain_envelopes() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    await work.using(lane="high", delay=MINUTE).asend()
    (message,) = sent(store)
    assert unpack_header(message.payload).flags == Flag.NONE
    assert extension_of(message.payload) == NO_EXTENSION


async def test_caps_limits_tenant_and_unique_key_stand_before_the_body() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(
        broker=broker,
        name="ask",
        concurrency=5,
        limits=[OPENAI.uses(units=len)],
        unique=octoqueue.Unique(until="started"),
    )
    async def ask(prompt: str) -> None: ...

    handle = await ask.using(tenant="acme").asend("four")
    (message,) = sent(store)
    extension = extension_of(message.payload)
    assert (extension.tenant, extension.caps) == ("acme", ("actor:ask",))
    assert extension.limits == (LimitUse("openai", "", 4),)
    assert extension.unique is not None
    assert extension.unique.mode is UniqueMode.STARTED
    assert decode_body(message.payload).args == ["four"]
    assert handle.message_id == text_from_id(message.message_id)


async def test_messages_with_one_key_or_else_one_tenant_lie_in_one_partition() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None: ...

    for number in range(3):
        await work.using(tenant="acme").asend(number)
    for number in range(3):
        await work.using(tenant=f"t{number}", unique="mine").asend(number)
    messages = sent(store)
    assert {m.message_id[-2:] for m in messages[:3]} == {affinity_of_name("acme")}
    keys = {extension_of(m.payload).unique for m in messages[3:]}
    (key,) = keys
    assert key is not None
    assert {m.message_id[-2:] for m in messages[3:]} == {key.digest[-2:]}


async def test_plain_dramatiq_actors_and_options_carry_the_same() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @dramatiq.actor(broker=broker, concurrency=2)
    def work(number: int) -> None: ...

    work.send_with_options(args=(1,), tenant="acme", unique="k", expires=60_000)
    (message,) = sent(store)
    extension = extension_of(message.payload)
    assert (extension.tenant, extension.caps) == ("acme", ("actor:work",))
    assert extension.unique is not None
    options = decode_body(message.payload).options
    created = decode_body(message.payload).created_at_ms
    assert "expires" not in options
    assert abs(options["expires_at"] - created - 60_000) < 5_000
    broker.close()


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("tenant", {"tenant": ""}),
        ("tenant", {"tenant": 5}),
        ("tenant", {"tenant": "x" * 121}),
        ("unique", {"unique": ""}),
        ("unique", {"unique": ["a"]}),
        ("expires", {"expires": timedelta(0)}),
        ("expires", {"expires": -MINUTE}),
        ("expires", {"expires": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("expires", {"expires": datetime(2100, 1, 1)}),  # noqa: DTZ001 - the point of it
        ("expires", {"expires": "soon"}),
        ("expires", {"expires": 60}),
        ("deadline", {"deadline": MINUTE}),
        ("deadline", {"deadline": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("delay", {"delay": -MINUTE}),
        ("delay", {"delay": 5}),
        ("results", {"results": "yes"}),
    ],
)
async def test_an_impossible_option_of_a_message_names_its_field(
    field: str, options: dict[str, Any]
) -> None:
    store = WatchedStore()

    @octoqueue.actor(broker=broker_on(store))
    async def work() -> None: ...

    with pytest.raises(InvalidMessage) as refused:
        await work.using(**options).asend()
    assert refused.value.field == field
    assert not sent(store)


@pytest.mark.parametrize("option", ["expires", "deadline"])
async def test_a_delay_beyond_the_end_of_a_message_is_refused(option: str) -> None:
    store = WatchedStore()

    @octoqueue.actor(broker=broker_on(store))
    async def work() -> None: ...

    ends: dict[str, Any] = {option: datetime.now(UTC) + MINUTE}
    with pytest.raises(InvalidMessage, match=f"{option}: the message would end before"):
        await work.using(delay=2 * MINUTE, **ends).asend()
    await work.using(delay=MINUTE / 2, **ends).asend()
    assert len(sent(store)) == 1


async def test_a_delay_beyond_what_the_actor_allows_is_refused() -> None:
    store = WatchedStore()

    @octoqueue.actor(broker=broker_on(store), expires=MINUTE)
    async def work() -> None: ...

    with pytest.raises(InvalidMessage, match="expires"):
        await work.using(delay=2 * MINUTE).asend()
    assert not sent(store)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("concurrency", 0),
        ("concurrency", "5"),
        ("concurrency", True),
        ("limits", OPENAI),
        ("limits", "openai"),
        ("unique", "done"),
        ("unique", True),
        ("expires", timedelta(0)),
        ("expires", "1h"),
    ],
)
def test_an_impossible_option_of_an_actor_is_refused_where_it_is_declared(
    option: str, value: object
) -> None:
    broker = broker_on()
    with pytest.raises(DeclarationError, match=f"actor 'work': {option}"):
        octoqueue.actor(broker=broker, **{option: value})(_work)  # type: ignore[call-overload]
    assert not broker.get_declared_actors()


async def _work() -> None:
    """Declared as `work` by the tests."""


_work.__name__ = "work"


async def test_more_units_than_the_burst_are_refused_and_nothing_is_stored() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, limits=[OPENAI.uses(units=len)])
    async def ask(prompt: str) -> None: ...

    with pytest.raises(UnitsOverBurst):
        await octoqueue.asend_many([ask.message("x"), ask.message("x" * 101)])
    assert not sent(store)
    # What is configured wins over the code.
    broker.configure(Settings.model_validate({"limits": {"openai": {"rate": 500}}}))
    await ask.asend("x" * 500)
    assert [extension.limits[0].units for extension in extensions(store)] == [500]


def test_two_actors_that_define_a_limit_in_two_ways_are_refused() -> None:
    broker = broker_on()
    other = octoqueue.RateLimit("openai", rate=5)

    @octoqueue.actor(broker=broker, limits=[OPENAI])
    async def one() -> None: ...

    with pytest.raises(DeclarationError, match="share one RateLimit"):
        octoqueue.actor(broker=broker, name="two", limits=[other])(_work)
    assert broker.get_declared_actors() == {"one"}


def test_the_gates_of_a_process_come_from_its_actors_and_its_configuration() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, concurrency=3, limits=[OPENAI])
    async def one() -> None: ...

    @octoqueue.actor(broker=broker, limits=[octoqueue.RateLimit("mail", rate=2, burst=9)])
    async def two() -> None: ...

    assert one is not two
    broker.configure(
        Settings.model_validate(
            {
                "limits": {"openai": {"rate": 7, "per": "1m"}, "slack": {"rate": 1}},
                "tenants": {"default": {"concurrency": 4}, "acme": {"weight": 2}},
                "lanes": {"queues": {"coder": {"concurrency": 8}, "judge": {"low": 5}}},
            }
        )
    )
    assert broker.gates() == Gates(
        tenants={"": TenantShare(concurrency=4), "acme": TenantShare(weight=2)},
        caps={"actor:one": 3},
        limits={
            "openai": RateLimit(rate=7, per=MINUTE, burst=7),
            "mail": RateLimit(rate=2, per=timedelta(seconds=1), burst=9),
            "slack": RateLimit(rate=1, per=timedelta(seconds=1), burst=1),
        },
        queue_caps={"coder": 8},
    )


async def test_a_duplicate_gives_the_handle_of_the_message_that_holds_the_key() -> None:
    store = WatchedStore()

    @octoqueue.actor(broker=broker_on(store), unique=octoqueue.Unique(), results=True)
    async def refresh(user: str) -> None: ...

    first, second = await refresh.asend("a"), await refresh.asend(user="a")
    other = await refresh.asend("b")
    assert (first.duplicate, second.duplicate, other.duplicate) == (False, True, False)
    assert second.message_id == first.message_id
    assert (await store.stats("default")).waiting == 2


async def test_a_duplicate_is_an_error_where_the_actor_says_so() -> None:
    store = WatchedStore()
    unique = octoqueue.Unique(on_duplicate="error")

    @octoqueue.actor(broker=broker_on(store), unique=unique)
    async def refresh(user: str) -> None: ...

    first = await refresh.asend("a")
    with pytest.raises(DuplicateMessage, match="actor 'refresh'") as refused:
        await refresh.asend("a")
    assert refused.value.existing == first.message_id
    with pytest.raises(DuplicateMessage):
        await octoqueue.asend_many([refresh.message("b"), refresh.message("a")])
    assert (await store.stats("default")).waiting == 1
