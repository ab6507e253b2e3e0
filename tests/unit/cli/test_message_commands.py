"""What `octoqueue inspect`, `explain`, `cancel` and `move` say and do."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.cli import messages
from octoqueue.cli.main import main
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import Call, Flag, Header, encode_body, pack_header
from octoqueue.primitives.extension import Extension, pack_extension
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Enqueue,
    Outcome,
    ResultRecord,
    SessionId,
    Settlement,
)
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

UNKNOWN = text_from_id(new_message_id())
HOUR_MS = 3_600_000


@dataclass
class Program:
    """The program on a memory store, as a shell sees it."""

    store: MemoryLaneStore
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(words)
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def answer(self, *words: str) -> dict[str, Any]:
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        told: dict[str, Any] = orjson.loads(out)
        return told

    def send(self, *, delay_ms: int = 0, tenant: str = "", lane: Lane = Lane.NORMAL) -> str:
        ident = new_message_id()
        flags = Flag.KEEP_RESULT | (Flag.EXTENDED if tenant else Flag.NONE)
        payload = pack_header(Header(ident, lane, flags, attempt=1))
        if tenant:
            payload += pack_extension(Extension(tenant=tenant))
        call = Call("coder", "write", ["[b]", 2], {"a": {"b": None}}, {"max_retries": 3}, 7)
        payload += encode_body(call, limit_bytes=1000)
        message = Enqueue(queue="coder", lane=lane, payload=payload, delay_ms=delay_ms)
        asyncio.run(self.store.enqueue([[message]]))
        return text_from_id(ident)

    def claim(self) -> None:
        asyncio.run(self.store.claim(SessionId("worker-1"), ["coder"], limit=1))

    def settle(self, outcome: Outcome, **fields: Any) -> None:  # noqa: ANN401 - a settlement's
        async def end() -> None:
            (lease,) = await self.store.held(SessionId("worker-1"), ["coder"])
            settlement = Settlement(lease=lease, outcome=outcome, **fields)
            await self.store.commit(SessionId("worker-1"), settlements=[settlement])

        asyncio.run(end())


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    bounds = LaneBounds(high=2, normal=10, low=10)
    store: Any = MemoryLaneStore(LaneOptions(default_bounds=bounds))

    @asynccontextmanager
    async def store_of(_: object) -> AsyncGenerator[Any]:
        yield store

    monkeypatch.setattr(messages, "store_of", store_of)
    return Program(store, capsys)


def fields_of(out: str) -> dict[str, str]:
    """The lines of a name and a value."""
    pairs = [line.split(maxsplit=1) for line in out.splitlines()]
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def test_a_message_that_is_tried_again_is_shown_with_its_earlier_attempts(
    program: Program,
) -> None:
    ident = program.send()
    assert "earlier attempts" not in program.run("inspect", ident)[1]
    program.claim()
    program.settle(Outcome.RETRY, delay_ms=60_000, reason=b'{"error":"OSError","message":"gone"}')
    code, out, _ = program.run("inspect", ident)
    assert code == 0
    assert "\nearlier attempts\n" in out
    assert "OSError: gone" in out
    assert "worker-1" in out


def test_a_waiting_message_is_shown_with_its_place_and_its_payload(program: Program) -> None:
    program.send()
    ident = program.send()
    code, out, err = program.run("inspect", ident)
    assert (code, err) == (0, "")
    told = fields_of(out)
    assert told["message"] == ident
    assert told["state"].startswith("waiting, 1 before it")
    assert (told["queue"], told["lane"], told["actor"]) == ("coder", "normal", "write")
    assert told["attempt"] == "1 (0 is the first)"
    assert '\nargs\n[\n  "[b]",\n  2\n]\n' in out
    assert '"b": null' in out


def test_a_machine_is_told_all_of_a_message(program: Program) -> None:
    told = program.answer("inspect", program.send(tenant="acme", lane=Lane.HIGH))
    wanted = {
        "state": "waiting",
        "queue": "coder",
        "lane": "high",
        "actor": "write",
        "args": ["[b]", 2],
        "kwargs": {"a": {"b": None}},
        "options": {"max_retries": 3},
        "gates": ["tenant acme"],
        "unique_until": None,
        "attempt": 1,
    }
    assert {name: told[name] for name in wanted} == wanted


def test_a_delayed_a_running_a_dead_and_a_finished_message_are_told_apart(program: Program) -> None:
    delayed = program.answer("inspect", program.send(delay_ms=HOUR_MS))
    assert (delayed["state"], delayed["due_at"] is None) == ("delayed", False)
    ident = program.send()
    program.claim()
    running = program.answer("inspect", ident)
    assert (running["state"], running["worker"]) == ("running", "worker-1")
    reason = {"error": "ValueError", "message": "no", "traceback": "Traceback…\n  it broke\n"}
    program.settle(Outcome.DEAD_LETTER, reason=orjson.dumps(reason))
    assert program.answer("inspect", ident)["reason"] == reason
    code, out, _ = program.run("inspect", ident)
    assert (code, fields_of(out)["error"]) == (0, "ValueError: no")
    assert out.endswith("Traceback…\n  it broke\n")
    ident = program.send()
    program.claim()
    program.settle(Outcome.ACK, result=ResultRecord(body=b'{"ok":[1]}', ttl_ms=HOUR_MS))
    finished = program.answer("inspect", ident)
    assert (finished["state"], finished["result"]) == ("finished", {"ok": [1]})
    assert "\nresult\n[\n  1\n]\n" in program.run("inspect", ident)[1]


def test_a_message_that_is_not_there_is_named(program: Program) -> None:
    for words in (["inspect"], ["explain"], ["cancel"], ["move", "--lane", "high"]):
        code, out, err = program.run(*words, UNKNOWN)
        assert (code, out) == (1, "")
        assert f"no message {UNKNOWN} waits, runs or is dead" in err
        assert len(err.splitlines()) == 1
    _, _, err = program.run("inspect", UNKNOWN, "--json")
    assert orjson.loads(err)["error"] == "MessageUnknown"


@pytest.mark.parametrize("words", [["inspect"], ["explain"], ["cancel"], ["move", "--lane", "low"]])
def test_what_is_no_id_is_refused(program: Program, words: list[str]) -> None:
    code, out, err = program.run(*words, "garbage")
    assert (code, out) == (2, "")
    assert "'garbage' is no message id" in err
    assert f"see 'octoqueue {words[0]} --help'" in err


def test_why_a_message_does_not_run_is_said(program: Program) -> None:
    ident = program.send(delay_ms=HOUR_MS)
    asyncio.run(program.store.pause("coder"))
    code, out, _ = program.run("explain", ident)
    assert code == 0
    first, *reasons = out.splitlines()
    assert first == f"Message {ident} is delayed in queue coder:"
    assert reasons[0] == "  queue 'coder' is paused"
    assert any("it is delayed for another" in line for line in reasons)
    told = program.answer("explain", ident)
    assert (told["state"], told["queue"]) == ("delayed", "coder")
    assert [reason["cause"] for reason in told["reasons"]][:2] == ["paused", "delayed"]


def test_a_message_is_cancelled_with_its_reason(program: Program) -> None:
    ident = program.send()
    code, out, _ = program.run("cancel", ident, "--reason", "sent twice")
    assert code == 0
    assert out == f"Message {ident} is cancelled: it had not been started, and never will be.\n"
    assert asyncio.run(program.store.stats("coder")).waiting == 0
    result = program.answer("inspect", ident)["result"]
    assert (result["error"], result["message"]) == ("Cancelled", "sent twice")
    code, out, _ = program.run("cancel", ident)
    assert (code, out) == (1, f"Message {ident} is not cancelled: it has ended.\n")


def test_a_running_message_is_told_to_stop_and_a_dead_letter_stays(program: Program) -> None:
    ident = program.send()
    program.claim()
    assert program.answer("cancel", ident)["outcome"] == "stopping"
    ident = program.send()
    asyncio.run(program.store.claim(SessionId("worker-2"), ["coder"], limit=1))

    async def bury() -> None:
        (lease,) = await program.store.held(SessionId("worker-2"), ["coder"])
        settlement = Settlement(lease=lease, outcome=Outcome.DEAD_LETTER, reason=b"{}")
        await program.store.commit(SessionId("worker-2"), settlements=[settlement])

    asyncio.run(bury())
    code, out, _ = program.run("cancel", ident)
    assert code == 1
    assert "it is a dead letter, 'octoqueue dead purge' removes it" in out


def test_a_message_is_moved_to_another_lane(program: Program) -> None:
    ident = program.send(lane=Lane.LOW)
    code, out, _ = program.run("move", ident, "--lane", "high")
    assert (code, out) == (0, f"Message {ident} is waiting in lane high.\n")
    assert program.answer("inspect", ident)["lane"] == "high"
    assert program.answer("move", ident, "--lane", "low")["lane"] == "low"


def test_what_cannot_be_moved_says_why(program: Program) -> None:
    for _ in range(2):
        program.send(lane=Lane.HIGH)
    ident = program.send()
    assert program.run("move", ident, "--lane", "top")[0] == 2
    code, _, err = program.run("move", ident, "--lane", "high")
    assert (code, "lane 'high' of queue 'coder' is full" in err) == (2, True)
    program.claim()
    program.claim()
    program.claim()
    code, _, err = program.run("move", ident, "--lane", "low")
    assert (code, "running" in err) == (2, True)


def test_looking_in_one_queue_is_enough_when_it_is_known(program: Program) -> None:
    ident = program.send()
    assert program.answer("inspect", ident, "--queue", "coder")["state"] == "waiting"
    assert program.run("inspect", ident, "--queue", "judge")[0] == 1


def test_times_are_those_of_the_wall_here(program: Program) -> None:
    ident = program.send(delay_ms=timedelta(days=1) // timedelta(milliseconds=1))
    told = fields_of(program.run("inspect", ident)[1])
    assert told["state"].startswith("delayed, until 20")
