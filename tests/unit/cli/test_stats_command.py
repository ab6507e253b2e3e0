"""What `octoqueue stats` and `octoqueue dead-letters` make of what they read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import orjson
import pytest
from rich.console import Console

from octoqueue.cli.dead_letter_views import document as letter_document
from octoqueue.cli.main import main
from octoqueue.cli.stats import document, table_from
from octoqueue.primitives.envelope import Call, Flag, Header, encode_body, pack_header
from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import DeadLetter, QueueStats

if TYPE_CHECKING:
    from pathlib import Path


def stats_with(*, waits_ms: tuple[int, ...] = (), **counters: int) -> QueueStats:
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
    )


def test_a_machine_is_told_every_number_of_a_queue() -> None:
    assert document(stats_with(waits_ms=(40, 40), claimed=9, acked=5)) == {
        "queue": "coder",
        "waiting": {"high": 1, "normal": 0, "low": 12_345},
        "delayed": 2,
        "in_flight": 4,
        "dead": 3,
        "oldest_age_seconds": 75,
        "totals": {"claimed": 9, "acked": 5},
        "wait_ms": {"p50": 35.0, "p95": 48.5, "p99": 49.7},
    }


def test_a_person_is_shown_a_line_a_queue() -> None:
    out = io.StringIO()
    Console(file=out, width=200).print(table_from([stats_with(claimed=9, acked=5, retried=1)]))
    header, line = out.getvalue().splitlines()
    assert header.split()[:4] == ["queue", "high", "normal", "low"]
    assert line.split() == [
        "coder", "1", "0", "12,345", "2", "4", "3", "1", "m", "15", "s", "9", "5", "1", "-", "-",
    ]  # fmt: skip


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


@pytest.mark.parametrize("command", [["stats"], ["dead-letters", "list", "coder"]])
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
