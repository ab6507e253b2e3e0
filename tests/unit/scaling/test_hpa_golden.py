"""Every sync of a recorded HorizontalPodAutoscaler controller, decided again by `scaling.hpa`."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from octoqueue.scaling.hpa import Bounds, Sync, step
from octoqueue.scaling.hpa_defaults import behavior_from_kubernetes
from octoqueue.scaling.hpa_metrics import (
    Proposal,
    average_value_proposal,
    tolerances_of,
    value_proposal,
)
from octoqueue.scaling.hpa_state import HpaState

if TYPE_CHECKING:
    from octoqueue.scaling.behavior import Behavior

RECORDING = Path(__file__).parents[2] / "data" / "hpa_golden_kubernetes_1_36.jsonl.gz"
DOWN_WINDOW_SECONDS = 20
SAME_SYNC_SECONDS = 0.8

Line = dict[str, Any]


class Difference(NamedTuple):
    name: str
    at: float
    ours: int
    recorded: int


@dataclass
class Recorded:
    """One ScaledObject: its spec, and what happened to it in order."""

    name: str
    spec: dict[str, Any]
    syncs: list[list[Line]] = field(default_factory=list)
    sizes: list[Line] = field(default_factory=list)
    statuses: list[Line] = field(default_factory=list)

    @property
    def behavior(self) -> Behavior | None:
        advanced = self.spec.get("advanced", {})
        block = advanced.get("horizontalPodAutoscalerConfig", {}).get("behavior")
        if block is None:
            return None
        return behavior_from_kubernetes(block, down_window_seconds=DOWN_WINDOW_SECONDS)

    @property
    def bounds(self) -> Bounds:
        return Bounds(least=self.spec["minReplicaCount"], most=self.spec["maxReplicaCount"])

    def seen(self, at: float) -> Line:
        return [line for line in self.sizes if line["t"] <= at or line is self.sizes[0]][-1]

    def until_next(self, index: int) -> float:
        return self.syncs[index + 1][0]["t"] if index + 1 < len(self.syncs) else float("inf")

    def proposals(self, answers: list[Line], size: Line) -> list[Proposal]:
        triggers = {trigger["metadata"]["m"]: trigger for trigger in self.spec["triggers"]}
        tolerances = tolerances_of(self.behavior)
        proposals = []
        for answer in answers:
            trigger = triggers[answer["m"]]
            target = float(trigger["metadata"]["target"])
            if trigger["metricType"] == "Value":
                proposal = value_proposal(
                    answer["m"],
                    values=[answer["v"]],
                    target=target,
                    spec_replicas=size["spec"],
                    ready_pods=size["ready"],
                    tolerances=tolerances,
                )
            else:
                proposal = average_value_proposal(
                    answer["m"],
                    values=[answer["v"]],
                    target=target,
                    status_replicas=size["pods"],
                    tolerances=tolerances,
                )
            proposals.append(proposal)
        return proposals


def read_recording() -> list[Recorded]:
    objects: dict[str, Recorded] = {}
    with gzip.open(RECORDING, "rt") as lines:
        for line in map(json.loads, lines):
            if line["k"] == "def":
                objects[line["so"]] = Recorded(line["so"], line["spec"])
                continue
            of = objects[line["so"]]
            if line["k"] == "deploy":
                of.sizes.append(line)
            elif line["k"] == "hpa":
                of.statuses.append(line)
            elif of.syncs and line["t"] - of.syncs[-1][0]["t"] < SAME_SYNC_SECONDS:
                of.syncs[-1].append(line)
            else:
                of.syncs.append([line])
    return list(objects.values())


class Replay(NamedTuple):
    syncs: int
    resized: int
    differences: list[Difference]
    conditions: Counter[tuple[tuple[str, str], tuple[str, str]]]
    """How often which (recorded, ours) condition `AbleToScale`, `ScalingLimited`."""


def replay(
    recording: list[Recorded], *, applied_at: dict[tuple[str, float], float] | None = None
) -> Replay:
    """Decide every sync; the state then follows what the controller did, so errors do not add up.

    The first answer of every object is KEDA's own first poll: no sync, so nothing is remembered.
    A change counts from the metric's answer, or from when `applied_at` says.
    """
    count = resized = 0
    differences: list[Difference] = []
    conditions: Counter[tuple[tuple[str, str], tuple[str, str]]] = Counter()
    for of in recording:
        state = HpaState()
        for index, answers in enumerate(of.syncs):
            at: float = answers[-1]["t"]
            before = of.seen(at)
            later = [line for line in of.sizes if at < line["t"] < of.until_next(index)]
            recorded = later[-1]["spec"] if later else before["spec"]
            sync = step(
                state,
                now=at,
                current=before["spec"],
                proposals=of.proposals(answers, before),
                bounds=of.bounds,
                behavior=of.behavior,
                down_window_seconds=DOWN_WINDOW_SECONDS,
            )
            count += 1
            resized += recorded != before["spec"]
            if sync.replicas != recorded:
                differences.append(Difference(of.name, at, sync.replicas, recorded))
            else:
                conditions.update(compared(of, sync, at, of.until_next(index)))
            if index == 0:
                continue
            changed_at = (applied_at or {}).get((of.name, at), at)
            state = followed(state, sync, recorded, behavior=of.behavior, changed_at=changed_at)
    return Replay(count, resized, differences, conditions)


def followed(
    state: HpaState,
    sync: Sync,
    recorded: int,
    *,
    behavior: Behavior | None,
    changed_at: float,
) -> HpaState:
    asked = HpaState(
        at=sync.state.at,
        recommendations=sync.state.recommendations,
        added=state.added,
        removed=state.removed,
    )
    return asked.at_moment(changed_at).resized(sync.current, recorded, behavior)


def compared(
    of: Recorded, sync: Sync, at: float, until: float
) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return what the controller wrote down after a sync, beside what we would have written."""
    is_resized = sync.replicas != sync.current
    ours = ("SucceededRescale" if is_resized else str(sync.readiness), str(sync.limit))
    return [
        ((status["able"], status["limited"]), ours)
        for status in of.statuses
        if at < status["t"] < until and status["able"] is not None
    ]


@pytest.fixture(scope="module")
def recording() -> list[Recorded]:
    return read_recording()


POLLS_OF_KEDA = [
    # KEDA asks once by itself when it has created the autoscaler, and does nothing with the answer.
    # Taken for a sync, six of the eight would have changed the size; g2 would wait for its window,
    # and g5 asks for what there is.
    Difference("g0", 0.222, 2, 1),
    Difference("g1", 0.216, 2, 1),
    Difference("g3", 1.076, 2, 1),
    Difference("g4", 0.975, 2, 1),
    Difference("g6", 3.081, 4, 3),
    Difference("g7", 3.391, 2, 1),
]

EDGE_OF_A_PERIOD = Difference("g2", 41.077, 6, 5)
"""The change of the sync at 35.055 was applied at 35.188; counted from then it is in the 6 s before
41.077, counted from the metric's answer it is not."""


def test_the_controller_is_reproduced_but_for_its_first_polls_and_one_edge(
    recording: list[Recorded],
) -> None:
    replayed = replay(recording)
    assert replayed.syncs == 927
    assert replayed.resized == 149
    assert sorted(replayed.differences) == sorted([*POLLS_OF_KEDA, EDGE_OF_A_PERIOD])
    assert 1 - len(replayed.differences) / replayed.syncs >= 0.99


def test_the_edge_is_none_when_its_change_counts_from_when_it_was_applied(
    recording: list[Recorded],
) -> None:
    replayed = replay(recording, applied_at={("g2", 35.055): 35.188})
    assert sorted(replayed.differences) == sorted(POLLS_OF_KEDA)


def test_what_differs_on_an_objects_first_answer_is_no_sync(recording: list[Recorded]) -> None:
    first = {(of.name, of.syncs[0][-1]["t"]) for of in recording}
    assert {(poll.name, poll.at) for poll in POLLS_OF_KEDA} < first


def test_the_conditions_are_told_in_the_controllers_words(recording: list[Recorded]) -> None:
    conditions = replay(recording).conditions
    assert conditions.total() > 300
    assert {pair: n for pair, n in conditions.items() if pair[0] != pair[1]} == {}
