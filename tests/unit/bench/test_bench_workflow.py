from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from bench.engines.processes import cpu_seconds
from bench.peers.flows import GATE, Steps, counted, overheads_ns
from bench.scenarios import workflow
from tests.running import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.engines.rig import Engine


class LastingEngine:
    """Keeps executions through a death: when it is started again, they go on."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.steps = Steps(self.folder)
        self.did: list[str] = []
        self.held = 0
        self.ended = 0

    async def do(self, what: str, *, count: int, second: int, prefix: str) -> Mapping[str, Any]:
        assert prefix == "held-"
        self.did.append(what)
        self.held = count
        for _ in range(self.held):
            self.steps.second()
        assert counted(self.folder, "second") == second
        return {}

    async def completed(self, prefix: str) -> int:
        assert prefix == "held-"
        return self.ended

    async def kill(self) -> None:
        assert not (Path(self.folder) / GATE).exists(), "the gate opened before the death"
        self.did.append("kill")

    async def start_in_vain(self) -> None:
        self.did.append("start")

    async def start(self) -> None:
        assert (Path(self.folder) / GATE).exists(), "nothing could go on"
        self.did.append("start")
        for _ in range(self.held):
            self.steps.third()
            self.ended += 1


def test_what_lies_between_steps_is_without_the_time_of_their_bodies() -> None:
    assert overheads_ns([[100, 150], [170, 400], [401, 402]]) == [20, 1]
    assert overheads_ns([[100, 150]]) == []


def test_steps_are_counted_over_all_processes(tmp_path: Path) -> None:
    here = Steps(str(tmp_path))
    here.first()
    here.second()
    here.third()
    here.third()
    there = (7).to_bytes(8, "little") + bytes(8)
    (tmp_path / "third.99999999").write_bytes(there)
    assert counted(str(tmp_path), "second") == 1
    assert counted(str(tmp_path), "third") == 2 + 7
    assert counted(str(tmp_path), "fourth") == 0


async def test_held_steps_go_on_together_when_the_gate_opens(tmp_path: Path) -> None:
    steps = Steps(str(tmp_path))
    held = [asyncio.create_task(steps.held()) for _ in range(3)]
    await until(lambda: counted(str(tmp_path), "second") == 3)
    assert not any(each.done() for each in held)
    (tmp_path / GATE).touch()
    notes = await asyncio.gather(*held)
    assert all(began <= ended for began, ended in notes)


async def test_recovery_is_timed_from_the_new_start_with_the_second_steps_free_to_end(
    tmp_path: Path,
) -> None:
    engine = LastingEngine(tmp_path)
    found = await workflow.recovered(cast("Engine", engine))
    assert engine.did == ["hold", "kill", "start"]
    assert 0 <= found["progressed s"] <= found["completed s"]
    assert not (tmp_path / GATE).exists(), "the next round would not be held"


async def test_a_dead_engine_that_does_not_recover_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LastingEngine(tmp_path)
    monkeypatch.setattr(workflow, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(engine, "start", engine.start_in_vain)
    with pytest.raises(TimeoutError):
        await workflow.recovered(cast("Engine", engine))


class TellingEngine:
    """Says what was prepared, and grows by a KiB with every execution that waits."""

    def __init__(self, says: Mapping[str, Any]) -> None:
        self._says = says
        self._kib = 50_000
        self.forgotten: list[tuple[str, int]] = []

    async def do(self, what: str, **facts: object) -> Mapping[str, Any]:
        if what == "wait":
            self._kib += cast("int", facts["count"])
        return self._says

    async def forget(self, prefix: str, count: int) -> None:
        self.forgotten.append((prefix, count))

    def resident_bytes(self) -> int:
        return self._kib * 1_024


async def test_overheads_are_taken_over_the_steps_of_all_workflows() -> None:
    ms = 1_000_000
    quick = [[2 * ms, 3 * ms], [5 * ms, 6 * ms], [8 * ms, 9 * ms]]
    slow = [[7 * ms, 8 * ms], [9 * ms, 50 * ms], [90 * ms, 91 * ms]]
    engine = TellingEngine({"due_ns": [ms, ms], "notes": [quick, slow]})
    found = await workflow.paced(cast("Engine", engine))
    assert found == {"overhead P50 ms": 2.0, "overhead P95 ms": 40.0, "first P95 ms": 6.0}


@pytest.mark.parametrize("count", [300, 10_000])
async def test_what_waits_is_scaled_to_ten_thousand_executions(count: int) -> None:
    engine = TellingEngine({})
    found = await workflow.waiting(cast("Engine", engine), count)
    assert found == {"MiB waiting": 10_000 / 1_024}
    assert engine.forgotten == [("wait-", count)]


def test_cpu_time_of_a_process_that_has_gone_is_nothing() -> None:
    assert cpu_seconds(2**22 + 1) == 0.0
