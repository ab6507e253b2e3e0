"""What `octoqueue queues`, `top`, `pause` and `resume` make of what they read."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from rich.console import Console

from octoqueue.cli import pausing, queues, top
from octoqueue.cli.dead_letter_views import document as letter_document
from octoqueue.cli.main import main
from octoqueue.cli.queue_readings import QueueReader
from octoqueue.cli.queue_views import (
    QueueView,
    Reading,
    document,
    table_from,
    table_within,
    view_of,
)
from octoqueue.primitives.envelope import Call, Flag, Header, encode_body, pack_header
from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import DeadLetter, Enqueue, QueueStats
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


def stats_with(
    *, waits_ms: tuple[int, ...] = (), paused: bool = False, **counters: int
) -> QueueStats:
    waits = [0] * WAIT_BUCKETS
    for wait in waits_ms:
        waits[bucket_of(wait)] += 1
    return QueueStats(
        queue="coder",
        depth={Lane.HIGH: 1, Lane.NORMAL: 0, Lane.LOW: 12_345},
        delayed=2,
        dead=3,
        in_flight=4,
        oldest_age_seconds=75,
        counters=counters,
        waits=tuple(waits),
        paused=paused,
    )


def test_a_machine_is_told_every_number_of_a_queue() -> None:
    before = Reading(stats_with(enqueued=10), 100.0)
    now = Reading(stats_with(waits_ms=(40, 40), enqueued=15, acked=6, dead=1), 102.0)
    assert document(view_of(now, before)) == {
        "queue": "coder",
        "paused": False,
        "waiting": {"high": 1, "normal": 0, "low": 12_345},
        "oldest_age_seconds": 75,
        "in_flight": 4,
        "delayed": 2,
        "dead": 3,
        "in_per_second": 2.5,
        "out_per_second": 3.5,
        "wait_ms": {"p50": 35.0, "p95": 48.5, "p99": 49.7},
        "totals": {"enqueued": 15, "acked": 6, "dead": 1},
    }


def lines(*views: QueueView) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=200).print(table_from(views))
    return [line.split() for line in out.getvalue().splitlines()]


def test_a_person_is_shown_a_line_a_queue() -> None:
    before = Reading(stats_with(), 0.0)
    now = Reading(stats_with(acked=50, enqueued=1, paused=True), 2.0)
    header, line = lines(view_of(now, before))
    assert header[:5] == ["queue", "high", "normal", "low", "oldest"]
    assert line == [
        "coder", "paused", "1", "0", "12,345", "1", "m", "15", "s", "4", "0.5", "25", "-", "-",
        "2", "3",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [100, 79, 60, 44])
def test_a_narrow_screen_does_without_columns_and_cuts_none(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(table_within([view_of(Reading(stats_with(), 1.0))], console))
    shown = out.getvalue()
    assert "…" not in shown
    assert all(word in shown for word in ("high", "normal", "low", "running", "dead", "12,345"))
    assert ("P50 wait" in shown) is (width == 100)


def test_a_queue_named_like_markup_is_shown_as_it_is() -> None:
    stats = stats_with()
    odd = Reading(QueueStats(**{**fields_of(stats), "queue": "[red]"}), 0.0)
    assert lines(view_of(odd))[1][0] == "[red]"


def fields_of(stats: QueueStats) -> dict[str, Any]:
    return {name: getattr(stats, name) for name in QueueStats.__dataclass_fields__}


def test_there_are_no_rates_from_one_look_or_counters_that_began_anew() -> None:
    once = view_of(Reading(stats_with(acked=9), 1.0))
    flushed = view_of(Reading(stats_with(acked=1), 2.0), Reading(stats_with(acked=9), 1.0))
    assert (once.out_per_second, flushed.out_per_second) == (None, None)
    assert document(once)["in_per_second"] is None


def test_recent_percentiles_are_those_of_the_claims_in_between() -> None:
    before = Reading(stats_with(waits_ms=(60_000,) * 50), 0.0)
    now = Reading(stats_with(waits_ms=(60_000,) * 50 + (2, 2)), 1.0)
    assert document(view_of(now, before, recent=True))["wait_ms"]["p99"] == 2.0
    assert document(view_of(now, before))["wait_ms"]["p50"] > 10_000


async def test_a_reader_compares_with_the_look_before_or_the_first_it_remembers() -> None:
    clock, store = FakeClock(), MemoryLaneStore()
    reader = QueueReader(store, ["coder"], remembered=3, clock=clock)
    for sent in range(6):
        for _ in range(sent):
            await store.enqueue([[message()]])
        await reader.read()
        clock.advance(1_000)
    ((last,), (recent,)) = (reader.views(), reader.views(recent=True))
    assert last.in_per_second == 5
    assert recent.in_per_second == (3 + 4 + 5) / 3


def message(queue: str = "coder") -> Enqueue:
    header = Header(new_message_id(), Lane.NORMAL)
    body = encode_body(Call(queue, "write", [], {}, {}, 0), limit_bytes=1000)
    return Enqueue(queue=queue, lane=Lane.NORMAL, payload=pack_header(header) + body)


# ── the commands ─────────────────────────────────────────────────────────────────────────────────


@dataclass
class Program:
    """The program on a memory store, as a shell sees it."""

    store: MemoryLaneStore
    capsys: pytest.CaptureFixture[str]

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(words)
        told = self.capsys.readouterr()
        return code, told.out, told.err

    def send(self, queue: str = "coder") -> None:
        asyncio.run(self.store.enqueue([[message(queue)]]))

    def is_paused(self, queue: str) -> bool:
        return asyncio.run(self.store.stats(queue)).paused


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    store: Any = MemoryLaneStore()

    @asynccontextmanager
    async def store_of(_: object) -> AsyncGenerator[Any]:
        yield store

    for module in (queues, top, pausing):
        monkeypatch.setattr(module, "store_of", store_of)
    return Program(store, capsys)


def test_queues_are_shown_with_their_numbers(program: Program) -> None:
    program.send()
    code, out, err = program.run("queues", "--over", "0.01")
    assert (code, err) == (0, "")
    assert [line.split()[:4] for line in out.splitlines()] == [
        ["queue", "high", "normal", "low"],
        ["coder", "0", "1", "0"],
    ]


def test_only_the_named_queues_are_told(program: Program) -> None:
    for queue in ("coder", "judge"):
        program.send(queue)
    code, out, _ = program.run("queues", "judge", "--json", "--over", "0")
    (told,) = orjson.loads(out)
    assert (code, told["queue"], told["waiting"]["normal"]) == (0, "judge", 1)
    assert told["in_per_second"] is None


def test_without_any_queue_it_says_so(program: Program) -> None:
    assert program.run("queues", "--over", "0") == (0, "No queue has ever been used.\n", "")
    assert program.run("queues", "--json", "--over", "0")[1] == "[]\n"


@pytest.mark.parametrize(
    "words", [["queues", "codre"], ["top", "codre", "--json"], ["pause", "codre"], ["resume", "x"]]
)
def test_an_unknown_queue_is_named_with_those_there_are(program: Program, words: list[str]) -> None:
    program.send()
    code, out, err = program.run(*words)
    assert (code, out) == (1, "")
    assert f"nothing was ever put into a queue called '{words[1]}'" in err
    assert "(there are: coder)" in err
    assert "Traceback" not in err


def test_pause_and_resume_say_what_is_true_then(program: Program) -> None:
    for queue in ("coder", "judge"):
        program.send(queue)
    assert program.run("pause", "coder", "judge") == (
        0, "Queue coder is paused.\nQueue judge is paused.\n", ""
    )  # fmt: skip
    assert program.is_paused("coder")
    assert "coder paused" in program.run("queues", "--over", "0")[1]
    assert program.run("resume", "coder") == (0, "Queue coder is open.\n", "")
    assert (program.is_paused("coder"), program.is_paused("judge")) == (False, True)
    code, out, _ = program.run("resume", "judge", "--json")
    assert (code, orjson.loads(out)) == (0, [{"queue": "judge", "paused": False}])


def test_one_unknown_queue_keeps_the_others_as_they_are(program: Program) -> None:
    program.send()
    assert program.run("pause", "coder", "codre")[0] == 1
    assert not program.is_paused("coder")


def test_top_refuses_a_pipe_and_says_what_works_there(program: Program) -> None:
    code, out, err = program.run("top")
    assert (code, out) == (2, "")
    assert "'octoqueue queues' prints the same once" in err
    assert "'octoqueue top --json'" in err


def letter(payload: bytes) -> DeadLetter:
    return DeadLetter(
        message_id=new_message_id(),
        queue="coder",
        payload=payload,
        reason=orjson.dumps({"error": "ValueError", "message": "no"}),
        died_at_ms=1_769_860_800_042,
    )


def test_a_dead_letter_is_told_with_its_call_and_its_reason() -> None:
    header = Header(new_message_id(), Lane.LOW, Flag.NONE)
    call = Call("coder", "write", [1], {"a": "b"}, {}, 0)
    dead = letter(pack_header(header) + encode_body(call, limit_bytes=1000))
    assert letter_document(dead) == {
        "message_id": text_from_id(dead.message_id),
        "queue": "coder",
        "died_at": "2026-01-31T12:00:00.042Z",
        "reason": {"error": "ValueError", "message": "no"},
        "actor": "write",
        "args": [1],
        "kwargs": {"a": "b"},
    }


def test_a_dead_letter_that_cannot_be_decoded_is_told_nevertheless() -> None:
    told = letter_document(letter(b"garbage"))
    assert (told["actor"], told["payload_bytes"]) == (None, 7)


@pytest.mark.parametrize("command", [["queues"], ["dead", "list", "coder"], ["pause", "coder"]])
def test_looking_starts_no_server(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCTOQUEUE_EMBEDDED__STATE_DIR", str(tmp_path / "state"))
    assert main(command) == 2
    assert capsys.readouterr().err == (
        "octoqueue: Redis cannot be reached: no OCTOQUEUE_REDIS_URL is set and no private one is "
        "running; 'octoqueue up' starts one\n"
    )
    assert not (tmp_path / "state").exists()
