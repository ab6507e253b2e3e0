"""The simulator's loop beside a recorded controller, each on its own from the first sync on.

Here an error would add up: `test_hpa_golden` puts the size right after each sync, this does not.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from octoqueue.scaling.hpa_defaults import behavior_from_kubernetes
from octoqueue.scaling.simulator.fleets import FleetModel
from octoqueue.scaling.simulator.loops import HpaLoop, KedaLoop

RECORDING = Path(__file__).parents[3] / "data" / "hpa_golden_kubernetes_1_36.jsonl.gz"
SAME_SYNC_SECONDS = 0.8
EDGE = 4
"""Syncs after 41.077 s, the one edge that `test_hpa_golden` explains, until both agree again."""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    with gzip.open(RECORDING, "rt") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize("kind", [HpaLoop, KedaLoop])
@pytest.mark.parametrize(("name", "apart"), [("g1", 0), ("g2", EDGE), ("g3", 0), ("g4", 0)])
def test_a_fleet_of_the_simulator_takes_the_sizes_of_a_real_one(
    lines: list[dict[str, Any]], name: str, apart: int, kind: type[HpaLoop | KedaLoop]
) -> None:
    of = [line for line in lines if line["so"] == name]
    spec = next(line["spec"] for line in of if line["k"] == "def")
    block = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    (trigger,) = spec["triggers"]
    target = float(trigger["metadata"]["target"])
    model = FleetModel(
        min_workers=spec["minReplicaCount"],
        max_workers=spec["maxReplicaCount"],
        behavior=behavior_from_kubernetes(block, down_window_seconds=20),
        sync_seconds=0.5,  # the recording says when: never a step that is not due
        polling_seconds=3000,
    )
    loop = kind(model)
    sizes = [line for line in of if line["k"] == "deploy"]
    asked = [line for line in of if line["k"] == "metric"][1:]  # the first was KEDA's own poll
    size = sizes[0]["spec"]
    ours, recorded = [], []
    for sync, following in zip(asked, [*asked[1:], {"t": float("inf")}], strict=True):
        assert following["t"] - sync["t"] > SAME_SYNC_SECONDS
        size = loop.size(sync["v"] / target, now_seconds=sync["t"], current=size)
        ours.append(size)
        recorded.append([line for line in sizes if line["t"] < following["t"]][-1]["spec"])
    assert len(ours) > 80
    assert len(set(recorded)) >= 5
    assert sum(mine != theirs for mine, theirs in zip(ours, recorded, strict=True)) == apart
