"""Manifests are written from the configuration, always the same, and pass their own rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from octoqueue.scaling.defaults import REFERENCE
from octoqueue.scaling.hpa_defaults import behavior_from_kubernetes
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from
from scalers.keda.metadata import metadata_from
from scalers.manifests.__main__ import main
from scalers.manifests.checking import findings_in
from scalers.manifests.components import components_of
from scalers.manifests.options import Options, Pause, Profile
from scalers.manifests.rendering import as_one, rendered

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "manifests"
CONFIG = GOLDEN / "octoqueue.yaml"


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.load(CONFIG, environ={})


def objects(files: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """Return the objects by kind and fleet, or name."""
    found = {}
    for document in yaml.safe_load_all(as_one(dict(files))):
        labels = document["metadata"].get("labels", {})
        found[document["kind"], labels.get("octoqueue/fleet", document["metadata"]["name"])] = (
            document
        )
    return found


def scaled(settings: Settings, fleet: str, options: Options) -> dict[str, Any]:
    """Return the spec of one fleet's ScaledObject."""
    components = [part for part in components_of(settings) if part.fleet == fleet]
    spec: dict[str, Any] = objects(rendered(components, options))["ScaledObject", fleet]["spec"]
    return spec


# ── the whole ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        ("production", []),
        ("dev", ["--profile", "dev"]),
        (
            "variants",
            [
                *("--component", "executor", "--component", "coder"),
                *("--jobs", "coder", "--cron-floors", "--pause", "scale-in"),
            ],
        ),
    ],
)
def test_the_rendered_files_are_those_that_were_looked_through(
    folder: str, arguments: list[str], tmp_path: Path
) -> None:
    """When this fails on purpose: the same command with --output tests/data/manifests/<folder>."""
    assert main(["render", "--config", str(CONFIG), "--output", str(tmp_path), *arguments]) == 0
    golden = {path.name: path.read_text() for path in (GOLDEN / folder).iterdir()}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == golden


@pytest.mark.parametrize("profile", ["dev", "production"])
@pytest.mark.parametrize("config", [CONFIG, ROOT / "octoqueue.yaml"], ids=["tests", "platform"])
def test_what_is_rendered_passes_the_rules(profile: Profile, config: Path) -> None:
    settings = Settings.load(config, environ={})
    files = rendered(components_of(settings), Options(profile=profile, cron_floors=True))
    assert [str(f) for f in findings_in(files, settings=settings) if f.level == "error"] == []


def test_every_component_of_the_reference_is_there_in_its_order(settings: Settings) -> None:
    components = components_of(settings)
    assert [part.fleet for part in components] == [*REFERENCE, "admin"]
    assert [part.name for part in components] == [
        "orchestrator",
        "reflex-layer",
        "planner-arm",
        "executor-arm",
        "coder-arm",
        "judge-arm",
        "guardian-arm",
        "retriever-arm",
        "admin",
    ]


# ── one object ───────────────────────────────────────────────────────────────────────────────────


def test_bounds_and_behaviour_are_those_of_the_policy(settings: Settings) -> None:
    for component in components_of(settings):
        spec = scaled(settings, component.fleet, Options())
        policy = policy_from(settings, component.fleet)
        assert spec["minReplicaCount"] == policy.min_workers
        assert spec["maxReplicaCount"] == policy.max_workers
        block = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert behavior_from_kubernetes(block) == policy.behavior


def test_the_scaler_is_asked_one_metric_that_it_understands(settings: Settings) -> None:
    for component in components_of(settings):
        spec = scaled(settings, component.fleet, Options())
        ours = [trigger for trigger in spec["triggers"] if trigger["type"] == "external"]
        assert [trigger["metricType"] for trigger in ours] == ["AverageValue"]
        assert metadata_from(ours[0]["metadata"]).fleet == component.fleet


def test_cpu_and_memory_are_the_references(settings: Settings) -> None:
    spec = scaled(settings, "reflex", Options())
    assert {t["type"]: t["metadata"] for t in spec["triggers"][1:]} == {
        "cpu": {"value": "60"},
        "memory": {"value": "75"},
    }
    assert len(scaled(settings, "reflex", Options(profile="dev"))["triggers"]) == 1


def test_an_outage_never_stops_a_fleet(settings: Settings) -> None:
    for profile in ("dev", "production"):
        for component in components_of(settings):
            spec = scaled(settings, component.fleet, Options(profile=profile))
            assert spec["fallback"]["replicas"] >= 1
            assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"


def test_for_development_arms_go_to_none_and_services_do_not(settings: Settings) -> None:
    least = {
        component.fleet: scaled(settings, component.fleet, Options(profile="dev"))[
            "minReplicaCount"
        ]
        for component in components_of(settings)
    }
    assert {fleet for fleet, count in least.items() if count == 1} == {
        "orchestrator",
        "reflex",
        "admin",
    }
    assert set(least.values()) == {0, 1}


def test_a_service_keeps_one_even_if_none_is_configured() -> None:
    fleet = {"queues": ["admin"], "modules": ["m"], "scaling": {"min": 0}}
    settings = Settings.model_validate({"fleets": {"admin": fleet}})
    assert scaled(settings, "admin", Options())["minReplicaCount"] == 1


def test_the_cooldown_is_no_shorter_than_the_drain() -> None:
    fleet = {"queues": ["slow"], "modules": ["m"], "scaling": {"min": 0}}
    settings = Settings.model_validate({"fleets": {"slow": fleet}, "runtime": {"drain": "20m"}})
    assert scaled(settings, "slow", Options())["cooldownPeriod"] == 1_200


def test_floors_are_cron_triggers_only_when_wanted(settings: Settings) -> None:
    def kinds(options: Options) -> list[str]:
        return [trigger["type"] for trigger in scaled(settings, "executor", options)["triggers"]]

    assert "cron" not in kinds(Options())
    assert kinds(Options(cron_floors=True)) == ["external", "cron", "cpu", "memory"]


@pytest.mark.parametrize(
    ("pause", "annotation"),
    [
        ("all", {"autoscaling.keda.sh/paused": "true"}),
        ("scale-in", {"autoscaling.keda.sh/paused-scale-in": "true"}),
        ("scale-out", {"autoscaling.keda.sh/paused-scale-out": "true"}),
        (4, {"autoscaling.keda.sh/paused-replicas": "4"}),
    ],
)
def test_pauses(settings: Settings, pause: Pause | int, annotation: dict[str, str]) -> None:
    files = rendered(components_of(settings), Options(pause=pause))
    for (kind, _), document in objects(files).items():
        if kind == "ScaledObject":
            assert document["metadata"]["annotations"] == annotation


def test_a_tolerance_is_written_only_where_it_is_another() -> None:
    behavior = {"up": {"workers": 2, "tolerance": 0.05}}
    fleet = {"queues": ["q"], "modules": ["m"], "scaling": {"behavior": behavior}}
    settings = Settings.model_validate({"fleets": {"quick": fleet}})
    block = scaled(settings, "quick", Options())["advanced"]["horizontalPodAutoscalerConfig"]
    assert block["behavior"]["scaleUp"]["tolerance"] == "0.05"
    assert "tolerance" not in block["behavior"]["scaleDown"]


def test_long_runs_are_jobs_that_end_by_themselves(settings: Settings) -> None:
    files = rendered(components_of(settings), Options(), as_jobs=frozenset({"coder"}))
    job = objects(files)["ScaledJob", "coder"]["spec"]
    pod = job["jobTargetRef"]["template"]["spec"]
    assert job["scalingStrategy"] == {"strategy": "default"}
    assert pod["containers"][0]["command"][0] == "timeout"
    assert pod["terminationGracePeriodSeconds"] == 4 * 3_600
    assert ("ScaledObject", "coder") not in objects(files)


def test_mtls_is_for_production(settings: Settings) -> None:
    production = objects(rendered(components_of(settings), Options()))
    keys = production["TriggerAuthentication", "octoqueue-scaler"]["spec"]["secretTargetRef"]
    assert [entry["parameter"] for entry in keys] == ["caCert", "tlsClientCert", "tlsClientKey"]
    dev = objects(rendered(components_of(settings), Options(profile="dev")))
    assert not any(kind == "TriggerAuthentication" for kind, _ in dev)


def test_workers_may_patch_pods_and_nothing_else(settings: Settings) -> None:
    found = objects(rendered(components_of(settings), Options()))
    role = found["Role", "octoqueue-worker"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    binding = found["RoleBinding", "octoqueue-worker"]
    account = found["ServiceAccount", "octoqueue-worker"]["metadata"]
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


@pytest.mark.parametrize(
    "options", [Options(profile="dev"), Options(pod_deletion_cost=False)], ids=["dev", "off"]
)
def test_nobody_may_patch_pods_where_that_is_not_wanted(
    settings: Settings, options: Options
) -> None:
    files = rendered(components_of(settings), options)
    assert "worker-permissions.yaml" not in files
    assert "octoqueue-worker" not in as_one(files)


def test_what_runs_code_of_strangers_may_not_patch_pods(settings: Settings) -> None:
    components = [part for part in components_of(settings) if part.fleet == "executor"]
    files = rendered(components, Options())
    assert "worker-permissions.yaml" not in files
    assert "serviceAccountName: not octoqueue-worker" in as_one(files)


def test_workers_are_drained_by_a_hook_within_their_grace(settings: Settings) -> None:
    for component in components_of(settings):
        text = as_one(rendered([component], Options()))
        assert ("exec [octoqueue, drain, --for, 25s]" in text) is component.runs_messages
        if component.runs_messages:
            assert "terminationGracePeriodSeconds: 55 or more" in text


# ── the command ──────────────────────────────────────────────────────────────────────────────────


def test_everything_is_printed_as_one_stream(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--config", str(CONFIG), "--component", "judge"]) == 0
    kinds = [document["kind"] for document in yaml.safe_load_all(capsys.readouterr().out)]
    assert kinds == [
        "TriggerAuthentication",
        *("ServiceAccount", "Role", "RoleBinding"),
        "ScaledObject",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--component", "exekutor"], "no fleet 'exekutor'"),
        (["--jobs", "reflex"], "must always be there"),
        (["--target", "executor"], "FLEET=DEPLOYMENT"),
        (["--pause", "sometimes"], "--pause sometimes"),
        (["--target", f"judge={'j' * 60}"], "at most 63"),
    ],
)
def test_what_cannot_be_rendered_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "--config", str(CONFIG), *arguments]) != 0
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_a_target_may_have_another_name(settings: Settings) -> None:
    components = components_of(settings, targets={"judge": "worker-judge"})
    files = rendered(components, Options())
    document = objects(files)["ScaledObject", "judge"]
    assert document["spec"]["scaleTargetRef"]["name"] == "worker-judge"


def test_validating_tells_by_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = GOLDEN / "production" / "judge-arm.scaled-object.yaml"
    bad = tmp_path / "bad.yaml"
    bad.write_text(good.read_text().replace("pollingInterval: 30", "pollingInterval: 0"))
    assert main(["validate", str(good)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["validate", str(bad)]) == 1
    assert "asks without a pause" in capsys.readouterr().err
    assert main(["validate", str(tmp_path / "none.yaml")]) == 2
