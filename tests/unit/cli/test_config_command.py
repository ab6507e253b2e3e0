from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from octoqueue.cli.main import main
from octoqueue.settings import keys
from octoqueue.settings.listing import reference_table
from octoqueue.settings.root import Settings

PASSWORD = "geheim-und-lang"


@pytest.fixture(autouse=True)
def clean_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("OCTOQUEUE_")]:
        monkeypatch.delenv(name)


def test_show_lists_every_value_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("octoqueue.yaml").write_text("lanes:\n  lease: 15s\n")
    monkeypatch.setenv("OCTOQUEUE_REDIS_URL", f"redis://u:{PASSWORD}@h")
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["lanes.lease", "15s", "octoqueue.yaml:2"] in rows
    assert ["redis.url", "redis://u:****@h", "OCTOQUEUE_REDIS_URL"] in rows
    assert ["runtime.concurrency", "100", "default"] in rows
    assert ["fleets", "none", "default"] in rows
    assert PASSWORD not in shown.out
    assert shown.err == ""
    fixed = {keys.dotted(k.path) for k in keys.keys_of(Settings) if keys.ANY_NAME not in k.path}
    assert fixed <= {row[0] for row in rows}


def test_show_lists_the_keys_of_sections_that_nobody_wrote_as_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scaling = "{objectives: {high: {within: 5s}}}"
    Path("octoqueue.yaml").write_text(
        f"fleets:\n  a:\n    queues: [a]\n    modules: [m]\n    scaling: {scaling}\n"
    )
    assert main(["config", "show"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    of_a = "fleets.a.scaling.objectives"
    assert [f"{of_a}.high.percentile", "0.95", "default"] in rows
    assert [f"{of_a}.low.percentile", "none", "default"] in rows
    shown = {row[0] for row in rows if row}
    known = [k for k in keys.keys_of(Settings) if k.path[:3] == ("fleets", "<name>", "scaling")]
    wanted = {keys.dotted(("fleets", "a", *k.path[2:])) for k in known if "schedule" not in k.path}
    assert wanted <= shown


def test_show_folds_nothing_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    modules = ",".join(f"my_app.actors_{number}" for number in range(30))
    monkeypatch.setenv("OCTOQUEUE_FLEETS__A__MODULES", modules)
    monkeypatch.setenv("OCTOQUEUE_FLEETS__A__QUEUES", "a")
    assert main(["config", "show"]) == 0
    assert modules.replace(",", ", ") in capsys.readouterr().out


def test_show_as_json_says_the_same_to_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.yaml").write_text("fleets:\n  a: {queues: [a, b], modules: [m]}\n")
    monkeypatch.setenv("OCTOQUEUE_POSTGRES_URL", f"postgresql://u:{PASSWORD}@h/d")
    assert main(["config", "show", "--json", "--config", "other.yaml"]) == 0
    entries = {entry["key"]: entry for entry in orjson.loads(capsys.readouterr().out)}
    assert entries["fleets.a.queues"] == {
        "key": "fleets.a.queues",
        "value": ["a", "b"],
        "from": "file",
        "place": "other.yaml:2",
    }
    assert entries["postgres.url"]["value"] == "postgresql://u:****@h/d"
    assert entries["postgres.url"]["from"] == "environment"
    assert entries["lanes.lease"] == {
        "key": "lanes.lease",
        "value": "10s",
        "from": "default",
        "place": None,
    }


def test_validate_accepts_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    Path("octoqueue.yaml").write_text("namespace: mine\n")
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr().out == "octoqueue.yaml is valid.\n"


def test_validate_says_so_when_there_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "validate"]) == 0
    assert capsys.readouterr().out == "There is no configuration file; the environment is valid.\n"


def test_validate_tells_every_problem_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("octoqueue.yaml").write_text("redis:\n  ur: a\n  pool_size: 0\n")
    monkeypatch.setenv("OCTOQUEUE_HTTP_PORT", "1")
    assert main(["config", "validate"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "octoqueue: OCTOQUEUE_HTTP_PORT: unknown variable; did you mean OCTOQUEUE_HTTP__PORT?",
        "octoqueue: redis.pool_size: must be at least 1, not 0 (octoqueue.yaml:3)",
        "octoqueue: redis.ur: unknown key; did you mean redis.url? (octoqueue.yaml:2)",
    ]


def test_validate_as_json_answers_whether_it_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    Path("octoqueue.yaml").write_text("redis: {ur: a}\n")
    assert main(["config", "validate", "--json"]) == 2
    message = "redis.ur: unknown key; did you mean redis.url? (octoqueue.yaml:1)"
    assert orjson.loads(capsys.readouterr().out) == {
        "valid": False,
        "error": "ConfigRefused",
        "message": message,
        "retryable": False,
        "problems": [{"key": "redis.ur", "message": message}],
    }
    Path("octoqueue.yaml").write_text("")
    assert main(["config", "validate", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out) == {"valid": True, "file": "octoqueue.yaml"}


def test_a_refused_configuration_is_json_where_json_was_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["config", "show", "--json", "-c", "missing.yaml"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert orjson.loads(told.err) == {
        "error": "ConfigError",
        "message": "missing.yaml cannot be read: No such file or directory",
        "retryable": False,
    }


def test_schema_prints_the_json_schema_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = orjson.loads(capsys.readouterr().out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["properties"]) == set(Settings.model_fields)


def test_schema_prints_the_table_of_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema", "--markdown"]) == 0
    assert capsys.readouterr().out == reference_table(Settings)


def test_schema_needs_no_valid_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    Path("octoqueue.yaml").write_text("nonsense: [")
    assert main(["config", "schema"]) == 0
