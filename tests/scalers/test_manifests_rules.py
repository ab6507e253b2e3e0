"""Combinations that hurt are refused, each with its reason and what to do."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from octoqueue.settings.root import Settings
from scalers.manifests.checking import findings_in

if TYPE_CHECKING:
    from scalers.manifests.finding import Finding

PRODUCTION = Path(__file__).parents[1] / "data" / "manifests" / "production"
GOOD: dict[str, Any] = yaml.safe_load((PRODUCTION / "executor-arm.scaled-object.yaml").read_text())
CRON = {
    "type": "cron",
    "name": "floor",
    "metadata": {
        "timezone": "UTC",
        "start": "0 8 * * 1-5",
        "end": "0 18 * * 1-5",
        "desiredReplicas": "4",
    },
}


def changed(changes: dict[str, Any], base: dict[str, Any] = GOOD) -> dict[str, Any]:
    """Return an object with values put at dotted paths; None takes a key away."""
    document = deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        at: Any = document
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        if isinstance(at, list):
            at[int(last)] = value
        elif value is None:
            at.pop(last)
        else:
            at[last] = value
    return document


def found(*documents: object, settings: Settings | None = None) -> list[Finding]:
    return list(findings_in({"a.yaml": yaml.safe_dump_all(documents)}, settings=settings))


def cron(**metadata: str) -> dict[str, Any]:
    return {**CRON, "metadata": {**CRON["metadata"], **metadata}}  # type: ignore[dict-item]


class Hurts(NamedTuple):
    says: str
    changes: dict[str, Any]
    field: str
    problem: str


HPA = "spec.advanced.horizontalPodAutoscalerConfig"
HURTS = [
    Hurts(
        "an outage that stops the fleet",
        {"spec.fallback.replicas": 0, "spec.minReplicaCount": 0},
        "spec.fallback.replicas",
        "outage of the fleet",
    ),
    Hurts(
        "a fallback below the minimum",
        {"spec.fallback.replicas": 1, "spec.minReplicaCount": 2},
        "spec.fallback.replicas",
        "not within the bounds",
    ),
    Hurts(
        "a latency as Value",
        {
            "spec.triggers.1": {
                "type": "prometheus",
                "name": "waits",
                "metricType": "Value",
                "metadata": {"query": "octollm_api_latency_p95_seconds", "threshold": "0.5"},
            }
        },
        "spec.triggers.1.metricType",
        "multiplies the ready pods",
    ),
    Hurts(
        "workers as Value",
        {"spec.triggers.0.metricType": "Value"},
        "spec.triggers.0.metricType",
        "would multiply them",
    ),
    Hurts(
        "a per cent of what is no resource",
        {"spec.triggers.0.metricType": "Utilization"},
        "spec.triggers.0.metricType",
        "cpu and memory only",
    ),
    Hurts(
        "idle as high as the minimum",
        {"spec.idleReplicaCount": 0, "spec.minReplicaCount": 0},
        "spec.idleReplicaCount",
        "not below minReplicaCount",
    ),
    Hurts(
        "idle that is not 0",
        {"spec.idleReplicaCount": 1, "spec.minReplicaCount": 3, "spec.fallback.replicas": 3},
        "spec.idleReplicaCount", "undo each other's work",
    ),
    Hurts(
        "a window that ends before it starts within the week",
        {"spec.triggers.1": cron(start="0 9 * * 6", end="0 18 * * 1-5")},
        "spec.triggers.1.metadata.end",
        "on days that were not meant",
    ),
    Hurts(
        "a window of no length",
        {"spec.triggers.1": cron(end="0 8 * * 1-5")},
        "spec.triggers.1.metadata.end",
        "starts and ends at the same moment",
    ),
    Hurts(
        "a window nobody can read",
        {"spec.triggers.1": cron(start="0 25 * * *")},
        "spec.triggers.1.metadata",
        "cannot be read",
    ),
    Hurts(
        "a floor that is none",
        {"spec.triggers.1": cron(desiredReplicas="0")},
        "spec.triggers.1.metadata.desiredReplicas",
        "cannot lower",
    ),
    Hurts(
        "a floor above the ceiling",
        {"spec.triggers.1": cron(desiredReplicas="40")},
        "spec.triggers.1.metadata.desiredReplicas",
        "never reached",
    ),
    Hurts(
        "half a window",
        {"spec.triggers.1": {"type": "cron", "metadata": {"start": "0 8 * * *"}}},
        "spec.triggers.1.metadata",
        "timezone, end, desiredReplicas is missing",
    ),
    Hurts(
        "a cooldown shorter than the drain",
        {"spec.cooldownPeriod": 10, "spec.minReplicaCount": 0},
        "spec.cooldownPeriod",
        "shorter than the longest drain, 25 s",
    ),
    Hurts("a name too long", {"metadata.name": "a" * 55}, f"{HPA}.name", "64 characters"),
    Hurts("a name that is none", {"metadata.name": "Executor_Arm"}, "metadata.name", "no name"),
    Hurts("less at most than at least", {"spec.minReplicaCount": 20}, "spec.minReplicaCount", "20"),
    Hurts(
        "nothing to scale", {"spec.minReplicaCount": 0, "spec.maxReplicaCount": 0},
        "spec.maxReplicaCount", "nothing to scale",
    ),
    Hurts("no behaviour", {f"{HPA}.behavior": None}, f"{HPA}.behavior", "1, 4, 8, 16"),
    Hurts(
        "a window too long",
        {f"{HPA}.behavior.scaleDown.stabilizationWindowSeconds": 4_000},
        f"{HPA}.behavior",
        "4000 must be 0 to 3600",
    ),
    Hurts("polling without a pause", {"spec.pollingInterval": 0}, "spec.pollingInterval", "pause"),
    Hurts(
        "two triggers of one name", {"spec.triggers.1.name": "wanted-workers"},
        "spec.triggers.1.name", "name of trigger 0",
    ),
    Hurts("no trigger", {"spec.triggers": []}, "spec.triggers", "empty"),
    Hurts(
        "nobody to ask", {"spec.triggers.0.metadata.scalerAddress": None},
        "spec.triggers.0.metadata.scalerAddress", "whom to ask",
    ),
    Hurts(
        "a certificate that KEDA forgot",
        {"spec.triggers.0.metadata.tlsCertFile": "/tls.crt"},
        "spec.triggers.0.metadata.tlsCertFile",
        "without TLS",
    ),
    Hurts(
        "trust in anybody", {"spec.triggers.0.metadata.unsafeSsl": "true"},
        "spec.triggers.0.metadata.unsafeSsl", "does not check who answers",
    ),
    Hurts(
        "a key that the scaler does not know",
        {"spec.triggers.0.metadata.maxWorker": "4"},
        "spec.triggers.0.metadata",
        "did you mean 'maxWorkers'",
    ),
    Hurts(
        "cpu alone from none",
        {
            "spec.triggers": [{"type": "cpu", "metadata": {"value": "70"}}],
            "spec.minReplicaCount": 0,
            "spec.fallback": None,
        },
        "spec.minReplicaCount",
        "nothing would wake it",
    ),
    Hurts(
        "a cache of what KEDA does not read",
        {"spec.triggers.1.useCachedMetrics": True},
        "spec.triggers.1.useCachedMetrics",
        "refuses it for cpu",
    ),
    Hurts(
        "a key that KEDA does not know",
        {"spec.minReplicas": 2},
        "spec",
        "unknown key 'minReplicas', did you mean 'minReplicaCount'?",
    ),
    Hurts(
        "a number in quotes", {"spec.maxReplicaCount": "10"},
        "spec.maxReplicaCount", "valid integer",
    ),
    Hurts(
        "a text without them", {"spec.triggers.1.metadata.value": 70},
        "spec.triggers.1.metadata.value", "valid string",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", HURTS, ids=lambda case: case.says)
def test_it_is_refused_with_its_reason(case: Hurts) -> None:
    findings = [finding for finding in found(changed(case.changes)) if finding.level == "error"]
    assert len(findings) == 1, [str(finding) for finding in findings]
    (finding,) = findings
    assert finding.field == case.field
    assert case.problem in finding.problem
    assert finding.advice
    assert str(finding).startswith("error: a.yaml: ScaledObject ")


class Risks(NamedTuple):
    says: str
    changes: dict[str, Any]
    problem: str


RISKS = [
    Risks("no fallback", {"spec.fallback": None}, "none stays none"),
    Risks("a fallback that shrinks", {"spec.fallback.behavior": "static"}, "for want of a number"),
    Risks(
        "two scalers",
        {"spec.triggers.1": {**GOOD["spec"]["triggers"][0], "name": "another"}},
        "KEDA #5914",
    ),
    Risks("old numbers", {"spec.triggers.0.useCachedMetrics": True}, "up to 30 s ago"),
    Risks("half a behaviour", {f"{HPA}.behavior.scaleUp": None}, "defaults hold"),
    Risks(
        "no TLS",
        {
            "spec.triggers.0.metadata.enableTLS": None,
            "spec.triggers.0.authenticationRef": None,
        },
        "without TLS",
    ),
]


@pytest.mark.parametrize("case", RISKS, ids=lambda case: case.says)
def test_it_is_warned_of(case: Risks) -> None:
    (finding,) = found(changed(case.changes))
    assert finding.level == "warning"
    assert case.problem in finding.problem


def test_what_is_good_is_not_talked_about() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.triggers.1": CRON},
        {"spec.idleReplicaCount": 0, "spec.minReplicaCount": 2, "spec.fallback.replicas": 2},
        {"spec.minReplicaCount": 0},
        {"metadata.name": "a" * 54},
        {"metadata.name": "a" * 63, f"{HPA}.name": "short"},
    ],
)
def test_what_only_looks_like_it_is_let_through(changes: dict[str, Any]) -> None:
    assert found(changed(changes)) == []


# ── more than one object ─────────────────────────────────────────────────────────────────────────


def deployment(**spec: object) -> dict[str, Any]:
    container = {"name": "worker", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}
    pod = {"containers": [container], "terminationGracePeriodSeconds": 60}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "executor-arm", "namespace": "octollm"},
        "spec": {"template": {"spec": pod}, **spec},
    }


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("0 9 * * 7", "says Sunday as 7"),
        ("0 9 * * 1,7", "says Sunday as 7"),
        ("0 9 * * 5-7", "says Sunday as 7"),
        ("0 0 9 * * 1", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("0 9 L * *", "has one of L, W and #"),
        ("0 9 * * 5L", "has one of L, W and #"),
        ("0 9 * * 1#2", "has one of L, W and #"),
        ("0 9 */2 * 1-5", "one of them by steps"),
        ("0 9 1 * */2", "one of them by steps"),
    ],
)
def test_cron_expressions_that_keda_reads_otherwise_are_refused(
    expression: str, problem: str
) -> None:
    for name in ("start", "end"):
        (finding,) = found(changed({"spec.triggers.1": cron(**{name: expression})}))
        assert finding.level == "error"
        assert (finding.field, problem in finding.problem) == (
            f"spec.triggers.1.metadata.{name}",
            True,
        )


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0 8 * * MON-FRI", "0 18 * * mon-fri"),
        ("0 8 ? * 0", "0 18 * * SUN"),
        ("0 8 7 * *", "0 18 7 * *"),
        ("0 7 * JUL,AUG *", "0 17 * 7,8 *"),
        ("0 8 1 * 1", "0 18 1 * 1"),  # either of the two days, as KEDA has it
        ("0 8 */7 * *", "0 18 */7 * *"),
        ("0 8 * * */2", "0 18 * * */2"),
        ("0 8 * * 1,3,5", "0 18 * * MON,WED,FRI"),
    ],
)
def test_windows_that_keda_reads_as_we_do_are_let_through(start: str, end: str) -> None:
    assert found(changed({"spec.triggers.1": cron(start=start, end=end)})) == []


def test_two_scaled_objects_on_one_target_are_refused() -> None:
    (finding,) = found(GOOD, changed({"metadata.name": "again"}))
    assert "Deployment executor-arm is scaled by a.yaml: ScaledObject executor-arm" in str(finding)


def test_two_workloads_of_one_fleet_are_refused() -> None:
    """Jobs and a Deployment, or two Deployments: there would be twice as many workers."""
    job = changed({"spec.triggers.0.metadata.fleet": "executor"}, JOB)
    other = changed({"metadata.name": "again", "spec.scaleTargetRef.name": "again"})
    for second in (job, other):
        (finding,) = found(GOOD, second)
        assert (finding.level, "each is given all workers" in finding.problem) == ("error", True)
    elsewhere = changed({"spec.triggers.0.metadata.scalerAddress": "other:6000"}, other)
    assert found(GOOD, elsewhere) == []


def test_an_autoscaler_beside_a_scaled_object_is_refused() -> None:
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "executor-arm-hpa", "namespace": "octollm"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "executor-arm"}},
    }
    (finding,) = found(GOOD, autoscaler)
    assert "each undoes what the other does" in finding.problem


def test_the_same_name_in_another_namespace_is_another_target() -> None:
    assert found(GOOD, changed({"metadata.namespace": "elsewhere"})) == []


def test_a_deployment_beside_it_leaves_its_size_out() -> None:
    assert found(GOOD, deployment()) == []
    (finding,) = found(GOOD, deployment(replicas=3))
    assert (finding.field, finding.level) == ("spec.replicas", "error")


def test_a_grace_that_is_no_longer_than_the_drain_is_refused() -> None:
    short = changed({"spec.template.spec.terminationGracePeriodSeconds": 25}, deployment())
    (finding,) = found(GOOD, short)
    assert "killed with work in its hands" in finding.problem


@pytest.mark.parametrize(
    "hook",
    [{"sleep": {"seconds": 40}}, {"exec": {"command": ["octoqueue", "drain", "--for", "40s"]}}],
    ids=["sleep", "drain"],
)
def test_a_hook_takes_from_the_grace(hook: dict[str, Any]) -> None:
    def beside(grace: int) -> list[Finding]:
        changes = {
            "spec.template.spec.terminationGracePeriodSeconds": grace,
            "spec.template.spec.containers.0.lifecycle": {"preStop": hook},
        }
        return list(found(GOOD, changed(changes, deployment())))

    (finding,) = beside(60)
    assert "preStop hook, 40 s" in finding.problem
    assert beside(70) == []


def test_a_hook_whose_time_cannot_be_seen_is_left_alone() -> None:
    hook = {"exec": {"command": ["octoqueue", "drain", "--for", "$(DRAIN)"]}}
    changes = {
        "spec.template.spec.terminationGracePeriodSeconds": 60,
        "spec.template.spec.containers.0.lifecycle": {"preStop": hook},
    }
    assert found(GOOD, changed(changes, deployment())) == []


def test_a_long_grace_asks_for_a_long_cooldown() -> None:
    long = changed({"spec.template.spec.terminationGracePeriodSeconds": 900}, deployment())
    (finding,) = found(changed({"spec.minReplicaCount": 0}), long)
    assert finding.field == "spec.cooldownPeriod"
    assert "900 s" in finding.problem


def test_a_per_cent_needs_something_to_be_per_cent_of() -> None:
    bare = changed({"spec.template.spec.containers.0.resources": {}}, deployment())
    assert ["cpu" in finding.problem for finding in found(GOOD, bare)] == [True, False]


def test_a_stateful_set_is_warned_of() -> None:
    target = changed({"spec.scaleTargetRef.kind": "StatefulSet"})
    (finding,) = found(target, {**deployment(), "kind": "StatefulSet"})
    assert (finding.level, finding.field) == ("warning", "kind")


def test_a_reference_to_no_authentication_is_refused() -> None:
    authentication = yaml.safe_load((PRODUCTION / "trigger-authentication.yaml").read_text())
    assert found(GOOD, authentication) == []
    (finding,) = found(changed({"spec.triggers.0.authenticationRef.name": "other"}), authentication)
    assert "no TriggerAuthentication 'other'" in finding.problem


# ── beside the configuration ─────────────────────────────────────────────────────────────────────


def test_manifests_are_compared_with_the_configuration() -> None:
    fleet = {"queues": ["q"], "modules": ["m"], "scaling": {"min": 1, "max": 30}}
    settings = Settings.model_validate({"fleets": {"executor": fleet}})
    assert [finding.level for finding in found(GOOD, settings=settings)] == ["warning"]
    none = found(changed({"spec.minReplicaCount": 0}), settings=settings)
    assert "there is never none" in none[-1].problem
    strange = found(changed({"spec.triggers.0.metadata.fleet": "exekutor"}), settings=settings)
    assert "did you mean 'executor'" in strange[-1].problem


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────

JOB: dict[str, Any] = yaml.safe_load(
    (PRODUCTION.parent / "variants" / "coder-arm.scaled-job.yaml").read_text()
)


def test_jobs_are_compared_with_the_configuration() -> None:
    def of(fleet: str, concurrency: int) -> list[Finding]:
        told = {"queues": ["q"], "modules": ["m"], "concurrency": concurrency, "scaling": {}}
        return found(JOB, settings=Settings.model_validate({"fleets": {fleet: told}}))

    assert of("coder", 1) == []
    (few,) = of("coder", 8)
    assert (few.level, "too few are wanted" in few.problem) == ("warning", True)
    (unknown,) = of("judge", 1)
    assert (unknown.level, "coder" in unknown.problem) == ("error", True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"spec.scalingStrategy.strategy": "accurate"}, "start jobs for it again"),
        ({"spec.triggers.0.type": "external-push"}, "does not listen to pushes"),
        ({"spec.jobTargetRef.template.spec.restartPolicy": "Always"}, "always start again"),
        ({"spec.minReplicaCount": 50}, "not within 0 and maxReplicaCount"),
        ({"spec.pollingInterval": 0}, "without a pause"),
        ({"spec.fallback": {"replicas": 1}}, "unknown key 'fallback'"),
        ({"spec.cooldownPeriod": 300}, "unknown key 'cooldownPeriod'"),
    ],
)
def test_jobs_that_run_away_or_cannot_be_are_refused(changes: dict[str, Any], problem: str) -> None:
    assert found(JOB) == []
    (finding,) = found(changed(changes, JOB))
    assert problem in finding.problem


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "problem"),
    [("a: [", "is no YAML"), ("- 1", "no Kubernetes object"), ("kind: 4", "no Kubernetes object")],
)
def test_what_is_no_manifest_is_refused(text: str, problem: str) -> None:
    (finding,) = findings_in({"a.yaml": text})
    assert problem in finding.problem


def test_objects_of_others_and_empty_documents_are_left_alone() -> None:
    assert found({"kind": "Service", "metadata": {"name": "s"}}, None) == []
    listed = {"kind": "List", "items": [changed({"spec.pollingInterval": 0})]}
    assert len(found(listed)) == 1
