"""The reference's numbers, compared with the guide they come from, one by one."""

from __future__ import annotations

import pytest

from octoqueue.scaling.behavior import KUBERNETES_DEFAULT, Behavior, RatePolicy
from octoqueue.scaling.defaults import REFERENCE, ComponentDefaults, defaults_of

ARMS = ("planner", "executor", "coder", "judge", "guardian", "retriever")


def numbers(component: ComponentDefaults) -> tuple[float | None, ...]:
    return (
        component.min_workers,
        component.max_workers,
        component.cpu_percent,
        component.memory_percent,
        component.depth.messages_per_worker if component.depth else None,
        component.latency.seconds if component.latency else None,
        component.rate.per_second_and_worker if component.rate else None,
    )


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("orchestrator", (2, 10, 70, 80, 10, 0.5, None)),
        ("reflex", (3, 20, 60, 75, None, None, 500)),
        ("planner", (1, 5, 75, None, 5, None, None)),
        ("executor", (1, 10, 70, 80, 8, None, None)),
        ("coder", (1, 8, 75, None, 6, None, None)),
        ("judge", (1, 5, 70, None, None, None, None)),
        ("guardian", (2, 10, 65, None, None, None, 100)),
        ("retriever", (1, 8, 70, None, None, 0.2, None)),
    ],
)
def test_a_component_has_the_numbers_of_the_guide(
    name: str, wanted: tuple[float | None, ...]
) -> None:
    assert numbers(REFERENCE[name]) == wanted


def test_latency_targets_are_of_the_95th_percentile() -> None:
    found = {item.latency.percentile for item in REFERENCE.values() if item.latency}
    assert found == {0.95}


def rules(behavior: Behavior) -> list[tuple[int, str, set[tuple[str, int, int]]]]:
    def policies(of: tuple[RatePolicy, ...]) -> set[tuple[str, int, int]]:
        return {(policy.kind, policy.value, policy.period_seconds) for policy in of}

    return [
        (way.stabilization_window_seconds, way.select, policies(way.policies))
        for way in (behavior.up, behavior.down)
    ]


def test_the_orchestrator_grows_and_shrinks_as_the_guide_says() -> None:
    assert rules(REFERENCE["orchestrator"].behavior) == [
        (0, "Max", {("Percent", 100, 60), ("Pods", 4, 60)}),
        (300, "Min", {("Percent", 50, 60), ("Pods", 2, 60)}),
    ]


def test_the_reflex_layer_grows_and_shrinks_as_the_guide_says() -> None:
    assert rules(REFERENCE["reflex"].behavior) == [
        (0, "Max", {("Percent", 150, 30)}),
        (180, "Max", {("Percent", 30, 60)}),
    ]


@pytest.mark.parametrize("name", ARMS)
def test_arms_grow_and_shrink_as_kubernetes_does_by_itself(name: str) -> None:
    assert REFERENCE[name].behavior == KUBERNETES_DEFAULT
    assert rules(KUBERNETES_DEFAULT) == [
        (0, "Max", {("Pods", 4, 15), ("Percent", 100, 15)}),
        (300, "Max", {("Percent", 100, 15)}),
    ]


def test_who_is_not_known_goes_by_depth_as_many_as_it_runs() -> None:
    assert numbers(defaults_of("mine", slots_per_worker=16)) == (1, 10, None, None, 16, None, None)
    assert numbers(defaults_of("judge", slots_per_worker=4)) == (1, 5, 70, None, 4, None, None)
    assert defaults_of("coder", slots_per_worker=4) is REFERENCE["coder"]
