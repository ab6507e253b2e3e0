"""What `octoqueue record` writes, and that `octoqueue simulate` reads it back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.cli import record
from octoqueue.cli.main import main
from octoqueue.cli.recorder import Recorder
from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.envelope import Call, Header, encode_body, pack_header
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.traces import RequestTrace
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta
    from pathlib import Path

    from octoqueue.primitives.signals import SignalReading


def message(lane: Lane = Lane.NORMAL) -> Enqueue:
    body = encode_body(Call("coder", "write", [], {}, {}, 0), limit_bytes=1000)
    header = Header(new_message_id(), lane)
    return Enqueue(queue="coder", lane=lane, payload=pack_header(header) + body)


async def test_each_line_tells_what_happened_since_the_one_before() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(clock=clock)
    await store.enqueue([[message()]])
    recorder = Recorder()
    lines = [await recorder.begin(store, [], every_seconds=1)]
    clock.advance(1000)
    await store.enqueue([[message(Lane.HIGH)], [message()], [message()]])
    lines.append(await recorder.look(store))
    clock.advance(500)
    lines.append(await recorder.look(store))
    told = [orjson.loads(line) for line in lines]
    assert told[0]["queues"] == ["coder"]
    assert told[1]["arrivals"] == {"high": 1, "normal": 2, "low": 0}
    assert told[1]["seconds"] == 1
    assert told[2]["arrivals"] == {"high": 0, "normal": 0, "low": 0}
    assert recorder.arrivals == 3
    assert recorder.seconds == 1.5
    trace = read_trace(lines, source="r")
    assert isinstance(trace, RequestTrace)
    assert trace.duration_seconds == 1.5
    assert len(trace.arrived_seconds) == 3


async def test_a_clock_that_was_set_back_loses_nothing_and_makes_no_burst() -> None:
    clock = FakeClock()
    clock.advance(7_200_000)
    store = MemoryLaneStore(clock=clock)
    await store.enqueue([[message()]])
    recorder = Recorder()
    head = await recorder.begin(store, ["coder"], every_seconds=1)
    clock.advance(-3_600_000)
    await store.enqueue([[message()]])
    lines = [await recorder.look(store)]
    for _ in range(3):
        clock.advance(1000)
        await store.enqueue([[message()]])
        lines.append(await recorder.look(store))
    told = [orjson.loads(line) for line in lines]
    assert [sum(line["arrivals"].values()) for line in told] == [1, 1, 1, 1]
    assert [line["seconds"] for line in told] == [1, 1, 1, 1]
    begin_ms = orjson.loads(head)["starts_at_ms"]
    assert [line["at_ms"] - begin_ms for line in told] == [1000, 2000, 3000, 4000]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryLaneStore:
    memory = MemoryLaneStore()
    asyncio.run(memory.enqueue([[message()]]))

    @asynccontextmanager
    async def store_of(_: object) -> AsyncGenerator[Any]:
        yield memory

    monkeypatch.setattr(record, "store_of", store_of)
    return memory


def test_a_recording_is_a_file_that_simulate_reads(
    store: MemoryLaneStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reads = store.read_signals
    out = tmp_path / "r.jsonl"

    async def read_signals(queues: list[str], *, due_within: timedelta) -> SignalReading:
        reading = await reads(queues, due_within=due_within)
        await store.enqueue([[message()]])
        return reading

    monkeypatch.setattr(store, "read_signals", read_signals)
    assert main(["record", "--out", str(out), "--every", "0.1s", "--for", "0.3s"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{out}: 3 arrivals and 0 runs in 3")
    words = ["simulate", "--trace", str(out), "--policy", "static=2", "--service", "50ms"]
    assert main([*words, "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["rules"][0]["messages"] == 3


def test_an_outage_is_said_once_and_what_was_missed_is_in_the_next_line(
    store: MemoryLaneStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reads, calls = store.read_signals, iter(range(100))

    async def read_signals(queues: list[str], *, due_within: timedelta) -> SignalReading:
        if next(calls) in {1, 2}:
            await store.enqueue([[message()]])
            raise StoreUnavailable("Redis", reason="gone")
        return await reads(queues, due_within=due_within)

    monkeypatch.setattr(store, "read_signals", read_signals)
    out = tmp_path / "r.jsonl"
    assert main(["record", "coder", "--out", str(out), "--every", "0.1s", "--for", "0.4s"]) == 0
    told = capsys.readouterr()
    assert told.err.count("what is missed now is in the next line") == 1
    lines = [orjson.loads(line) for line in out.read_text().splitlines()]
    assert [sum(line["arrivals"].values()) for line in lines[1:]] == [2, 0]
    assert lines[1]["seconds"] >= 0.2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["codre"], 1, "nothing was ever put into a queue called 'codre'"),
        (["--every", "1ms"], 2, "--every: must be 0.1s or more"),
        (["--every", "often"], 2, "'often' is no duration"),
    ],
)
def test_what_cannot_be_recorded_is_one_line(  # noqa: PLR0917
    store: MemoryLaneStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    del store
    out = tmp_path / "r"
    assert main(["record", *words, "--out", str(out), "--for", "0.1s"]) == code
    assert said in capsys.readouterr().err
    assert not out.exists()  # or the next try would be told that it exists


def test_an_existing_file_is_not_overwritten(
    store: MemoryLaneStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del store
    out = tmp_path / "r"
    out.write_text("mine")
    assert main(["record", "--out", str(out)]) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err
    assert out.read_text() == "mine"
