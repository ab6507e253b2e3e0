"""`octoqueue dead-letters`: what it shows, chooses, replays and purges."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

from octoqueue.cli import dead_letters
from octoqueue.cli.main import main
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.envelope import Call, Encoded, Header, encode_body, pack_header
from octoqueue.primitives.ids import MessageId, new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import DeadLetter, Enqueue, Outcome, SessionId, Settlement
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from octoqueue.lanes.protocol import LaneStore

DAY = timedelta(days=1)
UNKNOWN = text_from_id(new_message_id())


@dataclass
class Program:
    """The command on a memory store, as a shell sees it."""

    store: MemoryLaneStore
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["dead-letters", *words])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def answer(self, *words: str) -> dict[str, Any]:
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return cast("dict[str, Any]", orjson.loads(out))

    def bury(
        self,
        actor: str = "write",
        error: str = "ValueError",
        *,
        age: timedelta = timedelta(0),
        **fields: Any,  # noqa: ANN401 - any field of a call
    ) -> str:
        """Put a dead letter into the store; return its id."""
        ident = new_message_id()
        header = Header(ident, Lane.HIGH, deliveries=1, attempt=2)
        call = Call("coder", actor, [1], {"a": "[b]"}, {"max_retries": 2}, 7)._replace(**fields)
        body = encode_body(call, limit_bytes=1000)
        reason = {"error": error, "message": "no [red]", "traceback": "Traceback…\n  it broke\n"}
        self._put(ident, pack_header(header) + body, orjson.dumps(reason), age)
        return text_from_id(ident)

    def bury_garbage(self, payload: bytes = b"garbage", reason: bytes = b'{"error":"X"}') -> str:
        ident = MessageId(b"0123456789abcdef")
        self._put(ident, payload, reason, timedelta(0))
        return text_from_id(ident)

    def _put(self, ident: MessageId, payload: bytes, reason: bytes, age: timedelta) -> None:
        died_at_ms = SystemClock().now_ms() - age // timedelta(milliseconds=1)
        self.store._queue("coder").dead[ident] = DeadLetter(
            message_id=ident,
            queue="coder",
            payload=payload,
            reason=reason,
            died_at_ms=died_at_ms,
        )

    @property
    def dead(self) -> set[str]:
        return {text_from_id(ident) for ident in self.store._queue("coder").dead}

    @property
    def waiting(self) -> int:
        return asyncio.run(self.store.stats("coder")).waiting


@pytest.fixture
def make(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Program]:
    def program(default_bounds: LaneBounds | None = None) -> Program:
        store = MemoryLaneStore(LaneOptions(default_bounds=default_bounds or LaneBounds()))
        store._used.add("coder")

        @asynccontextmanager
        async def store_of(_: object) -> AsyncGenerator[LaneStore]:
            yield store

        monkeypatch.setattr(dead_letters, "store_of", store_of)
        return Program(store, capsys)

    return program


@pytest.fixture
def program(make: Callable[..., Program]) -> Program:
    return make()


def test_a_letter_is_shown_with_its_call_its_error_and_its_attempts(program: Program) -> None:
    ident = program.bury()
    code, out, err = program.run("show", "coder", ident)
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    for field, value in {
        "message": ident,
        "actor": "write",
        "args": "[1]",
        "kwargs": '{"a":"[b]"}',
        "options": '{"max_retries":2}',
        "error": "ValueError: no [red]",
        "attempt": "2 (0 is the first)",
        "deliveries": "1 lost with their worker",
    }.items():
        assert any(line.split(maxsplit=1) == [field, value] for line in lines), field
    assert lines[-2:] == ["Traceback…", "it broke"]


def test_a_machine_is_shown_all_there_is_of_a_letter(program: Program) -> None:
    told = program.answer("show", "coder", program.bury())
    assert told["reason"]["traceback"].startswith("Traceback")
    wanted = {
        "actor": "write",
        "args": [1],
        "kwargs": {"a": "[b]"},
        "options": {"max_retries": 2},
        "lane": "high",
        "attempt": 2,
        "deliveries": 1,
    }
    assert {name: told[name] for name in wanted} == wanted
    assert told["died_at"].endswith("Z")


def test_a_letter_is_shown_with_how_its_earlier_attempts_failed(program: Program) -> None:
    async def fail(error: str, outcome: Outcome) -> None:
        (lease,) = await program.store.claim(SessionId("worker-1"), ["coder"], limit=1)
        reason = orjson.dumps({"error": error, "message": "no [red]"})
        ended = Settlement(lease=lease, outcome=outcome, reason=reason)
        await program.store.commit(SessionId("worker-1"), settlements=[ended])

    async def die(ident: MessageId) -> None:
        body = encode_body(Call("coder", "write", [1], {}, {}, 7), limit_bytes=1000)
        payload = pack_header(Header(ident, Lane.HIGH)) + body
        await program.store.enqueue([[Enqueue(queue="coder", lane=Lane.HIGH, payload=payload)]])
        await fail("OSError", Outcome.RETRY)
        await fail("ValueError", Outcome.DEAD_LETTER)

    ident = new_message_id()
    asyncio.run(die(ident))
    code, out, _ = program.run("show", "coder", text_from_id(ident))
    assert code == 0
    title, header, line = (line.split() for line in out.splitlines()[-3:])
    assert title == ["earlier", "attempts"]
    assert header == ["attempt", "ended", "error", "worker"]
    assert (line[0], line[3:]) == ("0", ["OSError:", "no", "[red]", "worker-1"])
    (told,) = program.answer("show", "coder", text_from_id(ident))["history"]
    assert told.pop("ended_at").endswith("Z")
    wanted = {"attempt": 0, "error": "OSError", "message": "no [red]", "worker": "worker-1"}
    assert told == wanted


def test_a_letter_that_cannot_be_decoded_is_shown_as_its_bytes(program: Program) -> None:
    ident = program.bury_garbage(b"\xffgarbage", reason=b"no JSON")
    code, out, _ = program.run("show", "coder", ident)
    assert code == 0
    assert r"8 bytes that cannot be decoded: \xffgarbage" in out
    assert "None: no JSON" in out
    assert program.run("list", "coder")[0] == 0


def test_without_yes_nothing_is_changed_and_what_would_be_is_shown(program: Program) -> None:
    ident = program.bury()
    for verb in ("replay", "purge"):
        code, out, err = program.run(verb, "coder", "--all")
        assert (code, err) == (0, "")
        assert ident in out
        assert out.endswith(
            f"Would {verb} 1 of 1 dead letters of queue coder. Nothing is changed; --yes does it.\n"
        )
        told = program.answer(verb, "coder", ident)
        past = {"replay": "replayed", "purge": "purged"}[verb]
        assert (told["dry_run"], told[past], len(told["letters"])) == (True, 0, 1)
    assert program.dead == {ident}
    assert program.waiting == 0


def test_replay_puts_back_those_that_are_named(program: Program) -> None:
    first, second, third = (program.bury() for _ in range(3))
    code, out, err = program.run("replay", "coder", first, third.upper(), first, "--yes")
    assert (code, out, err) == (0, "Replayed 2 dead letters of queue coder.\n", "")
    assert program.dead == {second}
    assert program.waiting == 2


def test_what_must_match_is_the_actor_and_the_class_of_the_error(program: Program) -> None:
    wanted = program.bury("write", "TimeoutError")
    others = {program.bury("write"), program.bury("read", "TimeoutError"), program.bury_garbage()}
    told = program.answer("replay", "coder", "--actor", "write", "--error", "TimeoutError", "--yes")
    assert (told["dry_run"], told["replayed"], told["dead"]) == (False, 1, 4)
    assert [letter["message_id"] for letter in told["letters"]] == [wanted]
    assert program.dead == others


def test_a_limit_takes_the_oldest(program: Program) -> None:
    ages = {days: program.bury(age=days * DAY) for days in (1, 4, 2, 3)}
    told = program.answer("replay", "coder", "--all", "--limit", "2", "--yes")
    assert [letter["message_id"] for letter in told["letters"]] == [ages[4], ages[3]]
    assert program.dead == {ages[1], ages[2]}


def test_purge_removes_what_is_old_and_matches(program: Program) -> None:
    old, other, new = (
        program.bury(age=8 * DAY),
        program.bury("read", age=8 * DAY),
        program.bury(age=6 * DAY),
    )
    words = ("purge", "coder", "--older-than", "7d", "--yes")
    assert program.answer(*words, "--actor", "read")["purged"] == 1
    assert program.dead == {old, new}
    assert program.run(*words)[:2] == (0, "Purged 1 dead letter of queue coder.\n")
    assert program.dead == {new}
    assert program.run("purge", "coder", new, "--yes")[0] == 0
    assert (program.dead, program.waiting, other in program.dead) == (set(), 0, False)


def test_more_than_fit_one_call_are_worked_off(program: Program) -> None:
    for _ in range(250):
        program.bury()
    _, shown, _ = program.run("replay", "coder", "--all")
    assert "… and 200 more\n" in shown
    assert program.answer("replay", "coder", "--all", "--yes")["replayed"] == 250
    assert (program.dead, program.waiting) == (set(), 250)


def test_what_cannot_be_decoded_is_left_out_of_a_match_and_refused_by_name(
    program: Program,
) -> None:
    good, garbage = program.bury(), program.bury_garbage()
    code, out, _ = program.run("replay", "coder", "--all", "--yes")
    assert code == 0
    assert "1 cannot be decoded, so not replayed.\nReplayed 1 dead letter" in out
    assert program.dead == {garbage}
    assert good not in program.dead
    code, _, err = program.run("replay", "coder", garbage, "--yes")
    assert code == 2
    assert err == (
        f"octoqueue: dead letter {garbage} of queue 'coder' cannot be decoded, so it cannot be "
        "replayed; it can be purged\n"
    )
    assert program.answer("purge", "coder", garbage, "--yes")["purged"] == 1


def test_a_full_lane_says_so_and_how_far_it_came(make: Callable[..., Program]) -> None:
    program = make(default_bounds=LaneBounds(high=150))
    for _ in range(201):
        program.bury()
    code, out, err = program.run("replay", "coder", "--all", "--yes")
    assert (code, out) == (2, "")
    assert err.startswith("octoqueue: 100 of 201 were replayed, but then:\noctoqueue: lane 'high'")
    assert (len(program.dead), program.waiting) == (101, 100)
    assert program.answer("replay", "coder", "--all", "--over-bound", "--yes")["replayed"] == 101


def test_a_letter_that_is_not_there_is_named(program: Program) -> None:
    ident = program.bury()
    for words in (["show", "coder"], ["replay", "coder", ident, "-y"], ["purge", "coder", "-y"]):
        code, out, err = program.run(*words, UNKNOWN)
        assert (code, out) == (1, "")
        assert err == f"octoqueue: queue 'coder' has no dead letter {UNKNOWN}\n"
    assert program.dead == {ident}
    _, _, err = program.run("show", "coder", UNKNOWN, "--json")
    assert orjson.loads(err)["error"] == "DeadLetterUnknown"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["replay", "coder"], "say which: the ids of messages, what they must match, or --all"),
        (["purge", "coder", "--yes"], "say which"),
        (["purge", "coder", UNKNOWN, "--all"], "name messages or say which match, not both"),
        (["replay", "coder", UNKNOWN, "--actor", "a"], "not both"),
        (["replay", "coder", UNKNOWN, "--limit", "1"], "not both"),
        (["replay", "coder", "--limit", "3"], "say which"),
        (["show", "coder", "garbage"], "'garbage' is no message id"),
        (["purge", "coder", "--older-than", "soon"], "--older-than: 'soon' is no duration"),
        (["replay", "coder", "--all", "--limit", "0"], "--limit"),
    ],
)
def test_a_command_that_says_too_little_or_too_much_changes_nothing(
    program: Program, words: list[str], complaint: str
) -> None:
    ident = program.bury()
    code, out, err = program.run(*words)
    assert (code, out) == (2, "")
    assert complaint in err
    assert f"see 'octoqueue dead-letters {words[0]} --help'" in err
    assert program.dead == {ident}


@pytest.mark.parametrize("verb", ["list", "show", "replay", "purge"])
def test_the_help_has_an_example(program: Program, verb: str) -> None:
    code, out, _ = program.run(verb, "--help")
    assert code == 0
    assert f"octoqueue dead-letters {verb} coder" in out


def test_arguments_only_pythons_json_can_write_are_shown(program: Program) -> None:
    ident = program.bury(args=[2**70, float("nan")])
    code, out, _ = program.run("show", "coder", ident, "--json")
    assert json.loads(out)["args"] == [2**70, None]
    code, out, _ = program.run("show", "coder", ident)
    assert (code, str(2**70) in out) == (0, True)


def test_what_a_programs_own_encoder_wrote_is_named_and_not_shown(program: Program) -> None:
    ident = program.bury(args=[], encoded=Encoded("PickleEncoder", b"\x80..."))
    assert program.answer("show", "coder", ident)["encoder"] == "PickleEncoder"
    assert "PickleEncoder" in program.run("show", "coder", ident)[1]


@pytest.mark.parametrize("verb", ["list", "show", "replay", "purge"])
def test_an_unknown_queue_is_named_with_those_there_are(program: Program, verb: str) -> None:
    words = {"list": [], "show": [UNKNOWN], "replay": ["--all"], "purge": ["--all"]}[verb]
    code, out, err = program.run(verb, "codre", *words)
    assert (code, out) == (1, "")
    assert "nothing was ever put into a queue called 'codre' (there are: coder)" in err
