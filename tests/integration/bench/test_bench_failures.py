from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from rich.console import Console

from bench import __main__ as program
from bench.harness import Bench, Figure, Scenario, Side

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest


async def works(_bench: Bench) -> Mapping[str, float]:
    return {"speed": 7.0}


async def breaks(_bench: Bench) -> Mapping[str, float]:
    raise RuntimeError("no [PostgreSQL] here")


def scenario(name: str, side: Side) -> Scenario:
    return Scenario(name=name, question="?", figures=(Figure("speed"),), sides=(side,))


async def test_a_scenario_that_fails_is_told_of_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenarios = {
        "broken": scenario("broken", Side("it", breaks)),
        "sound": scenario("sound", Side("it", works)),
    }
    monkeypatch.setattr(program, "SCENARIOS", scenarios)
    console, file = Console(width=120), tmp_path / "found.json"
    with console.capture() as printed:
        asked = program.parsed(["--repeats", "1", "--json", str(file)])
        failed = await program.run(asked, console)
    assert failed == {"broken": "RuntimeError: no [PostgreSQL] here"}
    assert "broken failed: RuntimeError: no [PostgreSQL] here" in printed.get()
    found = orjson.loads(file.read_bytes())
    assert found["scenarios"].keys() == {"sound"}
    assert found["failures"] == failed
