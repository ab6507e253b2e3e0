"""What the file and the environment may look like, and what in them is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import ConfigError, ConfigRefused
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: dict[str, str] = {}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default file of an otherwise empty working directory, not yet written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "octoqueue.yaml"


def refusal_of(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.load(environ=NOTHING)
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "---\n", "redis:\nlanes:\n  queues:\nfleets:\n"]
)
def test_a_file_or_section_that_says_nothing_changes_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert Settings.load(environ=NOTHING) == Settings()


def test_a_byte_order_mark_does_not_hurt(file: Path) -> None:
    file.write_bytes("namespace: mine".encode("utf-8-sig"))
    assert Settings.load(environ=NOTHING).namespace == "mine"


def test_a_queue_may_be_called_what_yaml_takes_for_something_else(file: Path) -> None:
    file.write_text("lanes: {queues: {on: {high: 1}, null: {high: 2}}}")
    assert set(Settings.load(environ=NOTHING).lanes.queues) == {"on", "null"}


def test_anchors_and_merge_keys_work_and_own_keys_win(file: Path) -> None:
    file.write_text(
        "fleets:\n"
        "  coder: &arm {queues: [coder], modules: [arms], processes: 2}\n"
        "  judge:\n"
        "    <<: *arm\n"
        "    queues: [judge]\n"
    )
    judge = Settings.load(environ=NOTHING).fleets["judge"]
    assert (judge.queues, judge.modules, judge.processes) == (("judge",), ("arms",), 2)


def test_a_key_that_stands_twice_is_refused_with_both_places(file: Path) -> None:
    assert refusal_of(file, "log:\n  level: info\n  level: debug\n") == (
        "log.level: stands twice, first at octoqueue.yaml:2 (octoqueue.yaml:3)"
    )


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("- a\n- b\n", "octoqueue.yaml:1 is not YAML: it must be a mapping of keys"),
        ("just text", "octoqueue.yaml:1 is not YAML: it must be a mapping of keys"),
        ("a: 1\n---\nb: 2\n", "octoqueue.yaml:2 is not YAML: but found another document"),
        ("? [a]\n: b\n", "octoqueue.yaml:1 is not YAML: a key must be a single word"),
        ("a: [1, 2", "octoqueue.yaml:1 is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("\n\na: !secret b", "octoqueue.yaml:3 is not YAML: could not determine a constructor"),
        ("a: *gone", "octoqueue.yaml:1 is not YAML: found undefined alias '…'"),
        ("a: 2026-13-45", "octoqueue.yaml is not YAML: a date or number in it is impossible"),
        ("a: \x07", "octoqueue.yaml cannot be read: it contains characters that YAML does not"),
        ("a: &a {b: *a}", "octoqueue.yaml is nested too deeply, or contains itself"),
        ("a: " + "[" * 10_000, "octoqueue.yaml is nested too deeply, or contains itself"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_in_one_sentence(
    file: Path, text: str, refusal: str
) -> None:
    answer = refusal_of(file, text)
    assert answer.startswith(refusal)
    assert "\n" not in answer


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8 text"):
        Settings.load(environ=NOTHING)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("OCTOQUEUE_NAMESPACE", "mine", "namespace", "mine"),
        ("octoqueue_namespace", "mine", "namespace", "mine"),
        ("OCTOQUEUE_REDIS_URL", "redis://h", "redis.url", "redis://h"),
        ("OCTOQUEUE_REDIS__URL", "redis://h", "redis.url", "redis://h"),
        ("OCTOQUEUE_POSTGRES_URL", "postgresql://h/d", "postgres.url", "postgresql://h/d"),
        ("OCTOQUEUE_RUNTIME__THREADS", "null", "runtime.threads", None),
        ("OCTOQUEUE_HTTP__PORT", "", "http.port", 8000),
        ("OCTOQUEUE_LANES__MAX_PAYLOAD_BYTES", "32KiB", "lanes.max_payload_bytes", 32 * 1024),
        ("OCTOQUEUE_LOG__LEVEL", "WARNING", "log.level", "warning"),
    ],
)
def test_a_variable_sets_its_key(
    file: Path, variable: str, text: str, key: str, value: object
) -> None:
    found: object = Settings.load(environ={variable: text})
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize("text", ["coder,judge", "coder, judge", '["coder", "judge"]'])
def test_a_list_is_separated_by_commas_or_is_json(file: Path, text: str) -> None:
    environ = {"OCTOQUEUE_FLEETS__A__QUEUES": text, "OCTOQUEUE_FLEETS__A__MODULES": "m"}
    assert Settings.load(environ=environ).fleets["a"].queues == ("coder", "judge")


def test_a_single_variable_wins_over_its_section_as_json(file: Path) -> None:
    environ = {
        "OCTOQUEUE_LANES__QUEUES__A__HIGH": "5",
        "OCTOQUEUE_LANES": '{"queues": {"a": {"high": 1, "low": 2}}, "partitions": 3}',
    }
    lanes = Settings.load(environ=environ).lanes
    assert (lanes.queues["a"].high, lanes.queues["a"].low, lanes.partitions) == (5, 2, 3)


@pytest.mark.parametrize(
    ("environ", "refusal"),
    [
        (
            {"OCTOQUEUE_FLEETS": "coder"},
            "fleets: must be a JSON object; or set OCTOQUEUE_FLEETS__… one by one (OCTOQUEUE_FL",
        ),
        (
            {"OCTOQUEUE_FLEETS__A__QUEUES": "[a"},
            "fleets.a.queues: must be a JSON list (OCTOQUEUE_FLEETS__A__QUEUES)",
        ),
        (
            {"OCTOQUEUE_REDIS_URL": "redis://a", "OCTOQUEUE_REDIS__URL": "redis://b"},
            "OCTOQUEUE_REDIS__URL: sets the same key as OCTOQUEUE_REDIS_URL; keep one of them",
        ),
        (
            {"OCTOQUEUE_HTTP__PORT": "1", "octoqueue_http__port": "2"},
            "octoqueue_http__port: sets the same key as OCTOQUEUE_HTTP__PORT; keep one of them",
        ),
        (
            {"OCTOQUEUE_HTTP__PORT": "http"},
            "http.port: must be a whole number, not 'http' (OCTOQUEUE_HTTP__PORT)",
        ),
    ],
)
def test_a_variable_that_says_nothing_sensible_is_refused(
    file: Path, environ: dict[str, str], refusal: str
) -> None:
    with pytest.raises(ConfigRefused, match=re.escape(refusal)):
        Settings.load(environ=environ)


def test_what_kubernetes_sets_for_a_service_of_our_name_is_ignored(file: Path) -> None:
    environ = {
        "OCTOQUEUE_SERVICE_HOST": "10.0.0.1",
        "OCTOQUEUE_REFLEX_SERVICE_PORT": "8000",
        "OCTOQUEUE_REFLEX_SERVICE_PORT_HTTP": "8000",
        "OCTOQUEUE_HTTP_PORT": "tcp://10.0.0.1:8000",
        "OCTOQUEUE_REFLEX_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "OCTOQUEUE_REFLEX_PORT_8000_TCP_ADDR": "10.0.0.1",
    }
    assert Settings.load(environ=environ) == Settings()


def test_variables_of_others_are_none_of_our_business(file: Path) -> None:
    assert (
        Settings.load(environ={"OCTOQUEUER": "1", "PATH": "/bin", "HTTP__PORT": "x"}) == Settings()
    )
