from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from octoqueue.errors import ConfigError
from octoqueue.settings.layer import Origin
from octoqueue.settings.redis import RedisSettings
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: dict[str, str] = {}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_any_source_the_defaults_hold(folder: Path) -> None:
    assert Settings.load(environ=NOTHING) == Settings()


def test_the_file_wins_over_the_defaults(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("runtime: {concurrency: 7}")
    runtime = Settings.load(environ=NOTHING).runtime
    assert (runtime.concurrency, runtime.max_retries) == (7, 5)


def test_the_environment_wins_over_the_file_key_by_key(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("runtime: {concurrency: 7, drain: 1m}")
    runtime = Settings.load(environ={"OCTOQUEUE_RUNTIME__CONCURRENCY": "8"}).runtime
    assert (runtime.concurrency, runtime.drain) == (8, timedelta(minutes=1))


def test_the_command_line_wins_over_everything(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("http: {port: 1}")
    environ = {"OCTOQUEUE_HTTP__PORT": "2"}
    assert Settings.load(environ=environ, overrides={"http.port": 3}).http.port == 3


def test_an_option_that_was_not_given_overrides_nothing(folder: Path) -> None:
    environ = {"OCTOQUEUE_HTTP__PORT": "2"}
    assert Settings.load(environ=environ, overrides={"http.port": None}).http.port == 2


def test_the_environment_changes_one_key_of_a_fleet_in_the_file(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("fleets: {coder: {queues: [coder], modules: [a.b]}}")
    fleet = Settings.load(environ={"OCTOQUEUE_FLEETS__CODER__PROCESSES": "3"}).fleets["coder"]
    assert (fleet.queues, fleet.modules, fleet.processes) == (("coder",), ("a.b",), 3)


def test_every_value_knows_where_it_comes_from(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("http:\n  host: ::1\nlog:\n  format: json\n")
    loaded = Settings.load_explained(
        environ={"OCTOQUEUE_LOG__FORMAT": "text", "OCTOQUEUE_REDIS_URL": "redis://h"},
        overrides={"http.port": 1},
    )
    assert loaded.file is not None
    assert loaded.file.name == "octoqueue.yaml"
    assert loaded.origin_of(("http", "port")) == Origin("override", "command line")
    assert loaded.origin_of(("redis", "url")) == Origin("environment", "OCTOQUEUE_REDIS_URL")
    assert loaded.origin_of(("log", "format")) == Origin("environment", "OCTOQUEUE_LOG__FORMAT")
    assert loaded.origin_of(("http", "host")) == Origin("file", "octoqueue.yaml:2")
    assert loaded.origin_of(("log", "level")) == Origin("default")


def test_a_section_as_json_is_the_origin_of_only_what_it_says(folder: Path) -> None:
    loaded = Settings.load_explained(environ={"OCTOQUEUE_LOG": '{"level": "debug"}'})
    assert loaded.origin_of(("log", "level")) == Origin("environment", "OCTOQUEUE_LOG")
    assert loaded.origin_of(("log", "format")) == Origin("default")


def test_a_named_file_is_read_instead_of_the_default_one(folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text("namespace: a")
    (folder / "b.yaml").write_text("namespace: b")
    (folder / "c.yaml").write_text("namespace: c")
    environ = {"OCTOQUEUE_CONFIG": "b.yaml"}
    assert Settings.load(environ=environ).namespace == "b"
    assert Settings.load(folder / "c.yaml", environ=environ).namespace == "c"


def test_a_named_file_that_is_missing_is_refused(folder: Path) -> None:
    refusal = "no.yaml cannot be read: No such file or directory"
    with pytest.raises(ConfigError, match=refusal):
        Settings.load(environ={"OCTOQUEUE_CONFIG": "no.yaml"})
    with pytest.raises(ConfigError, match=refusal):
        Settings.load(folder / "no.yaml", environ=NOTHING)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        Settings.load(folder, environ=NOTHING)


def test_the_environment_of_the_process_is_read_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOQUEUE_NAMESPACE", "mine")
    assert Settings.load().namespace == "mine"


def test_constructing_settings_reads_neither_file_nor_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "octoqueue.yaml").write_text("namespace: file")
    monkeypatch.setenv("OCTOQUEUE_NAMESPACE", "environment")
    monkeypatch.setenv("NAMESPACE", "ambient")
    assert Settings().namespace == "oq"
    assert Settings(redis=RedisSettings(url="redis://h")).redis.url == "redis://h"


def test_settings_are_frozen() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.namespace = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.redis.pool_size = 1  # type: ignore[misc]
