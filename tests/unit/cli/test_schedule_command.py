"""`octoqueue schedule`: what it shows, and firing by hand."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import orjson
import pytest

import octoqueue
from octoqueue.broker.default import default_broker, use_broker
from octoqueue.cli import schedule
from octoqueue.cli.main import main
from octoqueue.errors import StoreUnavailable
from octoqueue.primitives.envelope import decode_body
from octoqueue.settings.root import Settings
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import broker_on

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

NOON_MS = 1_760_000_400_000 // 86_400_000 * 86_400_000 + 43_200_000
"""2025-10-09, 12:00 UTC."""


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryLaneStore]:
    """A store at noon, and a module `declares_schedules` on it."""
    store = MemoryLaneStore(clock=FakeClock(NOON_MS))
    before, broker = default_broker(), broker_on(store)
    use_broker(broker)
    module = ModuleType("declares_schedules")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    @octoqueue.periodic(cron="0 3 * * *", tz="Europe/Berlin", missed="catch_up")
    @octoqueue.actor(broker=broker, queue="reports")
    async def nightly() -> None: ...

    @octoqueue.periodic(cron="*/30 * * * *", name="often", args=["x"])
    @octoqueue.actor(broker=broker)
    async def collect(what: str) -> None: ...

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[MemoryLaneStore]:
        yield store

    async def as_it_is(settings: Settings) -> Settings:
        return settings

    monkeypatch.setattr(schedule, "store_of", opened)
    monkeypatch.setattr(schedule, "with_redis", as_it_is)
    yield store
    use_broker(before)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["schedule", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.usefixtures("store")
def test_each_schedule_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "-m", "declares_schedules")
    assert (code, err) == (0, "")
    header, nightly, often = out.splitlines()
    assert header.split()[:3] == ["schedule", "actor", "queue"]
    assert "2025-10-10 03:00:00 +0200" in nightly
    assert nightly.split()[:3] == ["nightly", "nightly", "reports"]
    assert nightly.split()[-2:] == ["never", "catch_up"]
    assert often.split()[:3] == ["often", "collect", "default"]


async def fire(store: MemoryLaneStore) -> None:
    (nightly, _) = default_broker().schedules
    await default_broker().schedules.fire(store, nightly, after_ms=0, tick_ms=NOON_MS - 36_000_000)


async def test_a_machine_is_told_the_next_runs_in_the_zone_of_the_schedule(
    store: MemoryLaneStore,
) -> None:
    await fire(store)
    documents, is_known = await schedule._read(Settings(), default_broker(), 2)
    assert is_known
    assert documents == [
        {
            "schedule": "nightly",
            "actor": "nightly",
            "queue": "reports",
            "when": "0 3 * * *",
            "tz": "Europe/Berlin",
            "missed": "catch_up",
            "next": ["2025-10-10T03:00:00+02:00", "2025-10-11T03:00:00+02:00"],
            "last_fired": "2025-10-09T04:00:00+02:00",
        },
        {
            "schedule": "often",
            "actor": "collect",
            "queue": "default",
            "when": "*/30 * * * *",
            "tz": "UTC",
            "missed": "coalesce",
            "next": ["2025-10-09T12:30:00+00:00", "2025-10-09T13:00:00+00:00"],
            "last_fired": None,
        },
    ]


def test_a_schedule_fired_by_hand_is_enqueued_now_and_does_not_move(
    store: MemoryLaneStore, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "fire", "often", "-m", "declares_schedules", "--json")
    assert (code, err) == (0, "")
    answer = orjson.loads(out)
    assert answer["scheduled_for"] == "2025-10-09T12:00:00+00:00"
    (payload,) = store._queue("default").ready[octoqueue.Lane.NORMAL]
    call = decode_body(payload)
    assert (call.actor, call.args, call.options["scheduled_for"]) == ("collect", ["x"], NOON_MS)
    _, out, _ = run(capsys, "-m", "declares_schedules", "--json")
    assert [each["last_fired"] for each in orjson.loads(out)] == [None, None]


@pytest.mark.usefixtures("store")
def test_a_schedule_that_is_not_declared_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "fire", "hourly", "-m", "declares_schedules")
    assert (code, out) == (1, "")
    assert "'hourly'" in err
    assert "nightly, often" in err


@pytest.mark.usefixtures("store")
def test_without_a_store_the_next_runs_are_still_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(settings: Settings) -> None:
        raise StoreUnavailable("Redis", reason="the test says so")

    monkeypatch.setattr(schedule, "store_of", gone)
    code, out, err = run(capsys, "-m", "declares_schedules", "-n", "3", "--json")
    assert code == 0
    assert "unknown" in err
    assert [len(each["next"]) for each in orjson.loads(out)] == [3, 3]
    _, out, _ = run(capsys, "-m", "declares_schedules")
    assert ("unknown" in out, "never" in out) == (True, False)


def test_without_a_module_it_says_how_to_name_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys)
    assert code == 2
    assert "--module" in err
