"""What docs/scaling.md shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path

from octoqueue.primitives.lane import Lane
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.policy import ForecastUse, Objective, ScalingPolicy
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from
from tests.fleet_snapshots import FLEET, NOW_MS, queue, service, snapshot, workers

GUIDE = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text()
IN_ONE_LINE = " ".join(GUIDE.split())


def test_the_policy_of_the_guide_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "octoqueue.yaml"
    file.write_text(re.findall(r"```yaml\n(fleets:.*?)```", GUIDE, flags=re.DOTALL)[0])
    found = policy_from(Settings.load(file, environ={}), "coder")
    assert (found.max_workers, len(found.objectives), len(found.floors)) == (12, 2, 1)


def test_the_decision_of_the_guide_is_made_like_that() -> None:
    policy = ScalingPolicy(
        fleet=FLEET,
        queues=("coder",),
        max_workers=8,
        slots_per_worker=4,
        objectives=(Objective(seconds=5, lane=Lane.HIGH),),
        forecast=ForecastUse(),
    )
    busy = queue(
        waiting={Lane.HIGH: 60},
        per_second={Lane.HIGH: 1.5, Lane.NORMAL: 0.5},
        in_flight=8,
        ran=service(4.0),
    )
    found = decide(
        snapshot(busy, live=workers(2, slots=4), lead_seconds=20.0), policy, now_ms=NOW_MS
    )
    assert found.reason in IN_ONE_LINE
    for step in found.steps:
        assert f"{step.rule} {step.workers} {step.reason[:40]}" in IN_ONE_LINE
