"""What `octoqueue enqueue` sends, and what it refuses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq.broker
import orjson
import pytest

from octoqueue.broker import default
from octoqueue.broker.default import use_broker
from octoqueue.cli.main import main
from octoqueue.primitives.envelope import decode_body, extension_of, unpack_header
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import SessionId
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import broker_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = """
import octoqueue

@octoqueue.actor(queue="coder", lane="low")
async def write(text: str, *, times: int = 1) -> None: ...

@octoqueue.actor(queue="retriever", batch=octoqueue.Batch())
async def embed(texts: list[str]) -> None: ...
"""


@dataclass
class Program:
    """The command on a memory store, as a shell sees it."""

    store: MemoryLaneStore
    module: str
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["enqueue", *(self.module if word == "MODULE" else word for word in words)])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def payload(self, queue: str = "coder") -> bytes:
        (lease,) = asyncio.run(self.store.claim(SessionId("s"), [queue], limit=9))
        return lease.payload


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Program]:
    store, module = MemoryLaneStore(), f"app_{uuid4().hex[:8]}"
    (tmp_path / f"{module}.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OCTOQUEUE_REDIS_URL", "redis://nowhere")
    chosen, current = list(default._chosen), dramatiq.broker.global_broker
    use_broker(broker_on(store))
    yield Program(store, module, capsys)
    default._chosen[:] = chosen
    dramatiq.broker.global_broker = current


def test_a_message_is_sent_as_its_actor_declares_it(program: Program) -> None:
    code, out, err = program.run("write", "-m", "MODULE", "--args", '["a"]', "--kwargs", "{}")
    payload = program.payload()
    header, call = unpack_header(payload), decode_body(payload)
    assert (code, out, err) == (0, f"{text_from_id(header.message_id)}\n", "")
    assert (header.lane.label, call.actor, call.args, call.kwargs) == ("low", "write", ["a"], {})


def test_what_is_said_of_one_message_holds_for_it(program: Program) -> None:
    words = ("--args", '["a"]', "--lane", "high", "--tenant", "acme", "--unique", "k", "--json")
    code, out, _ = program.run("write", "-m", "MODULE", *words)
    told = orjson.loads(out)
    assert (code, told["actor"], told["queue"], told["duplicate"]) == (0, "write", "coder", False)
    payload = program.payload()
    extension = extension_of(payload)
    assert (unpack_header(payload).lane.label, extension.tenant) == ("high", "acme")
    assert extension.unique is not None


def test_a_delayed_message_waits(program: Program) -> None:
    assert program.run("write", "-m", "MODULE", "--args", '["a"]', "--delay", "1h")[0] == 0
    stats = asyncio.run(program.store.stats("coder"))
    assert (stats.waiting, stats.delayed) == (0, 1)


def test_the_second_of_a_unique_key_gets_the_id_of_the_first(program: Program) -> None:
    words = ("write", "-m", "MODULE", "--args", '["a"]', "--unique", "k")
    (_, first, _), (code, second, err) = program.run(*words), program.run(*words)
    assert (code, first) == (0, second)
    assert err == "octoqueue: nothing was sent: this message has its unique key\n"


def test_for_a_queue_nothing_is_imported_or_checked(program: Program) -> None:
    code, _, _ = program.run("anything", "--queue", "elsewhere", "--args", "[1, 2]")
    assert code == 0
    assert decode_body(program.payload("elsewhere")).actor == "anything"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["wrote", "-m", "MODULE"], "no actor named 'wrote' is declared here"),
        (["write", "-m", "MODULE"], "arguments: actor 'write' does not take them: missing"),
        (["write", "-m", "MODULE", "--args", "[1"], "--args: no JSON array"),
        (["write", "-m", "MODULE", "--args", "{}"], "--args: {} is no JSON array"),
        (["write", "-m", "MODULE", "--kwargs", "[]"], "--kwargs: [] is no JSON object"),
        (["write", "-m", "MODULE", "--args", '["a"]', "--lane", "top"], "lane"),
        (["write", "-m", "MODULE", "--args", '["a"]', "--tenant", ""], "tenant"),
        (["write", "-m", "MODULE", "--args", '["a"]', "--delay", "soon"], "--delay: 'soon' is no"),
        (["write", "-m", "MODULE", "--args", '["a"]', "--delay", "3000d"], "delay"),
        (["write"], "is declared by no fleet of the configuration: name its module with --module"),
        (["write", "-m", "not_there"], "not_there cannot be found"),
        (["write", "-m", "MODULE", "--queue", "coder"], "name the module or the queue, not both"),
        (["write", "--queue", "mail:dead"], "queue: 'mail:dead' is no name of a queue"),
        (["embed", "-m", "MODULE", "--args", '["a", "b"]'], "exactly one positional argument"),
    ],
)
def test_a_message_that_cannot_be_sent_is_refused_in_one_line(
    program: Program, words: list[str], complaint: str
) -> None:
    code, out, err = program.run(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert asyncio.run(program.store.queues()) == []


def test_a_failure_is_json_when_json_was_asked_for(program: Program) -> None:
    code, _, err = program.run("wrote", "-m", "MODULE", "--json")
    told: dict[str, Any] = orjson.loads(err)
    assert (code, told["error"], told["retryable"]) == (2, "ActorUnknown", False)
