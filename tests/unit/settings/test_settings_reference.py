"""The key list, the reference manual and the platform's own file say the same as the models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from octoqueue.settings import keys
from octoqueue.settings.lanes import LaneSettings, QueueSettings
from octoqueue.settings.listing import json_schema, reference_table
from octoqueue.settings.root import Settings

ROOT = Path(__file__).parents[3]
ARMS = ("planner", "executor", "coder", "judge", "guardian", "retriever")


def test_the_manual_has_the_table_of_all_keys() -> None:
    manual = (ROOT / "docs" / "configuration.md").read_text()
    assert manual.endswith("\n\n" + reference_table(Settings)), (
        "docs/configuration.md must end with the output of `octoqueue config schema --markdown`"
    )


def test_the_example_in_the_manual_is_valid(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "configuration.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", manual, flags=re.DOTALL)
    file = tmp_path / "octoqueue.yaml"
    file.write_text(example)
    assert Settings.load(file, environ={}).fleets["coder"].processes == 2


def test_the_refusals_in_the_manual_are_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from octoqueue.cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("octoqueue.yaml").write_text("redis:\n  ur: redis://h\nlanes:\n  lease: 0.5s\n")
    monkeypatch.setenv("OCTOQUEUE_HTTP_PORT", "9000")
    assert main(["config", "validate"]) == 2
    said = capsys.readouterr().err
    assert said in (ROOT / "docs" / "configuration.md").read_text()
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize("key", keys.keys_of(Settings), ids=lambda key: keys.dotted(key.path))
def test_every_key_has_a_meaning_and_a_variable_that_leads_to_it(key: keys.Key) -> None:
    assert key.meaning.endswith(".")
    assert keys.key_at(Settings, key.path) == key
    assert keys.shape_at(Settings, key.path) in {"value", "list"}


def test_every_section_of_the_schema_is_described_and_closed() -> None:
    schema = json_schema(Settings)
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        assert section["description"]
        assert all("description" in field or "$ref" in field for field in _fields(section))


def _fields(section: dict[str, dict[str, dict[str, object]]]) -> list[dict[str, object]]:
    return list(section["properties"].values())


def test_the_schema_shows_defaults_as_they_are_written_in_the_file() -> None:
    lanes = json_schema(Settings)["$defs"]["LaneSettings"]["properties"]
    assert (lanes["lease"]["default"], lanes["max_payload_bytes"]["default"]) == ("10s", 2**20)


def test_settings_written_down_read_back_as_themselves(tmp_path: Path) -> None:
    settings = Settings.load(ROOT / "octoqueue.yaml", environ={})
    file = tmp_path / "copy.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert Settings.load(file, environ={}) == settings


def test_the_platform_has_orchestrators_one_fleet_for_each_arm_and_one_for_upkeep() -> None:
    platform = Settings.load(ROOT / "octoqueue.yaml", environ={})
    assert platform.http.app == "workers.reflex.app:create_app"
    assert {name: (fleet.queues, fleet.modules) for name, fleet in platform.fleets.items()} == {
        **{arm: ((arm,), (f"workers.arms.{arm}",)) for arm in ARMS},
        "admin": (("admin",), ("workers.admin",)),
        "orchestrator": ((), ("workers.orchestrator.agent",)),
    }
    assert platform.fleets["orchestrator"].kind == "orchestrator"


def test_the_intake_of_the_platform_is_bounded_as_the_reference_says() -> None:
    lanes = Settings.load(ROOT / "octoqueue.yaml", environ={}).lanes
    intake, arm = lanes.bounds_of("planner"), lanes.bounds_of("coder")
    assert (intake.high, intake.normal, intake.low) == (100, 500, 1000)
    assert (arm.high, arm.normal, arm.low) == (1000, 5000, 10000)


def test_a_queue_has_the_common_bound_where_it_has_none_of_its_own() -> None:
    bounds = LaneSettings(queues={"a": QueueSettings(high=5)}).bounds_of("a")
    assert (bounds.high, bounds.normal, bounds.low) == (5, 5000, 10000)
