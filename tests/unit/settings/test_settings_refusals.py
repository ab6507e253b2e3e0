"""A wrong configuration is refused whole, in sentences, and without telling secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import ConfigError, ConfigRefused
from octoqueue.settings.listing import list_values
from octoqueue.settings.root import Settings

NOTHING: dict[str, str] = {}
NO_FILE = Path(os.devnull)
PASSWORD = "geheim-und-lang"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default file of an otherwise empty working directory, not yet written."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "octoqueue.yaml"


def refusal_of(file: Path, text: str) -> ConfigRefused:
    file.write_text(text)
    with pytest.raises(ConfigRefused) as caught:
        Settings.load(environ=NOTHING)
    return caught.value


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("redis: {ur: a}", "redis.ur", "redis.url"),
        ("rediss: {url: a}", "rediss", "redis"),
        ("redis_url: a", "redis_url", "redis.url"),
        ("url: a", "url", "redis.url"),
        ("concurrency: 5", "concurrency", "runtime.concurrency"),
        ("runtime: {conccurency: 5}", "runtime.conccurency", "runtime.concurrency"),
        ("lanes: {queues: {a: {hihg: 5}}}", "lanes.queues.a.hihg", "lanes.queues.a.high"),
        ("fleets: {a: {queues: [a], module: [m]}}", "fleets.a.module", "fleets.a.modules"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    file: Path, text: str, key: str, hint: str
) -> None:
    problem = next(p for p in refusal_of(file, text).problems if p.key == key)
    assert str(problem) == f"{key}: unknown key; did you mean {hint}? (octoqueue.yaml:1)"


def test_a_dotted_key_is_refused_with_the_way_to_write_it(file: Path) -> None:
    refusal = refusal_of(file, "redis.url: redis://h")
    assert str(refusal) == "redis.url: write url below redis, not with a dot (octoqueue.yaml:1)"


def test_an_unknown_key_that_is_near_to_nothing_gets_no_hint(file: Path) -> None:
    refusal = refusal_of(file, "xyzzy: 1")
    assert str(refusal) == "xyzzy: unknown key (octoqueue.yaml:1)"
    assert refusal.key == "xyzzy"


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("OCTOQUEUE_REDIZ_URL", "; did you mean OCTOQUEUE_REDIS_URL?"),
        ("OCTOQUEUE_REDIS__UR", "; did you mean OCTOQUEUE_REDIS_URL?"),
        ("OCTOQUEUE_REDIZ__POOL_SIZE", "; did you mean OCTOQUEUE_REDIS__POOL_SIZE?"),
        ("OCTOQUEUE_HTTP_PORT", "; did you mean OCTOQUEUE_HTTP__PORT?"),
        (
            "OCTOQUEUE_FLEETS__CODER__CONCURENCY",
            "; did you mean OCTOQUEUE_FLEETS__CODER__CONCURREN",
        ),
        ("OCTOQUEUE_NAMESPACE__X", ""),
        ("OCTOQUEUE_XYZZY", ""),
        ("OCTOQUEUE_", ""),
    ],
)
@pytest.mark.parametrize("text", ["1", ""])
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    file: Path, variable: str, hint: str, text: str
) -> None:
    with pytest.raises(ConfigRefused, match=re.escape(f"{variable}: unknown variable{hint}")):
        Settings.load(environ={variable: text})


def test_an_unknown_override_is_refused(file: Path) -> None:
    with pytest.raises(ConfigRefused, match=re.escape("did you mean http.port? (command line)")):
        Settings.load(environ=NOTHING, overrides={"http.prot": 1})


def test_all_problems_of_all_sources_are_told_at_once(file: Path) -> None:
    file.write_text(
        "redis:\n  ur: a\n  pool_size: 0\nlanes:\n  lease: 10 parsecs\nlog: {level: loud}\nlog: 1\n"
    )
    with pytest.raises(ConfigRefused) as caught:
        Settings.load(environ={"OCTOQUEUE_XYZZY": "1", "OCTOQUEUE_RUNTIME__DRAIN": "-1s"})
    assert {problem.key for problem in caught.value.problems} == {
        "redis.ur",
        "redis.pool_size",
        "lanes.lease",
        "log",
        "xyzzy",
        "runtime.drain",
    }
    assert len(str(caught.value).splitlines()) == len(caught.value.problems) == 7


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("redis: 5", "redis: must be a section of keys"),
        ("fleets: [coder]", "fleets: must be a section of keys"),
        ("namespace: [a]", "namespace: must be text"),
        ("namespace: 'a b'", "namespace: must start with a lower-case letter"),
        ("namespace: '{a}'", "namespace: must start with a lower-case letter"),
        ("redis: {topology: ring}", "redis.topology: must be 'single' or 'cluster', not 'ring'"),
        ("redis: {topology: cluster}", "redis.topology: cluster needs redis.url"),
        ("redis: {url: 'http://h'}", "redis.url: must start with redis:// or rediss:// or unix://"),
        ("redis: {url: 'localhost:6379'}", "redis.url: must start with redis://"),
        ("redis: {url: 'redis://h:port'}", "redis.url: is no URL"),
        ("redis: {url: 'redis://[h'}", "redis.url: is no URL"),
        ("redis: {url: 5}", "redis.url: must be text"),
        ("redis: {pool_size: 0}", "redis.pool_size: must be at least 1, not 0"),
        ("redis: {pool_size: yes}", "redis.pool_size: must be a whole number, not True"),
        ("redis: {pool_size: 1.5}", "redis.pool_size: must be a whole number, not 1.5"),
        ("redis: {pool_size: many}", "redis.pool_size: must be a whole number, not 'many'"),
        ("redis: {pool_size: }", "redis.pool_size: must be a whole number"),
        ("redis: {command_timeout: 0}", "redis.command_timeout: must be at least 1ms, not 0"),
        ("redis: {command_timeout: 0.1ms}", "redis.command_timeout: must be at least 1ms"),
        ("postgres: {pool_min: 20}", "postgres.pool_max: must be at least pool_min (20), not 10"),
        ("postgres: {url: 'redis://h'}", "postgres.url: must start with postgresql:// or"),
        ("limits: {openai: {}}", "limits.openai.rate: is required"),
        ("limits: {openai: {rate: 0}}", "limits.openai.rate: must be above 0, not 0"),
        ("limits: {openai: {rate: .inf}}", "limits.openai.rate: must be a number"),
        ("limits: {openai: {rate: yes}}", "limits.openai.rate: must be a number, not True"),
        ("limits: {openai: {rate: much}}", "limits.openai.rate: must be a number, not 'much'"),
        ("limits: {openai: {rate: 1, per: 0s}}", "limits.openai.per: must be at least 1ms"),
        ("limits: {openai: {rate: 1, burst: 0}}", "limits.openai.burst: must be at least 1"),
        ("limits: {'': {rate: 1}}", "limits.: must have 1 to 120 bytes"),
        ("tenants: {acme: {weight: 0.001}}", "tenants.acme.weight: must be at least 0.01"),
        ("tenants: {acme: {weight: 101}}", "tenants.acme.weight: must be at most 100"),
        ("tenants: {acme: {concurrency: 0}}", "tenants.acme.concurrency: must be at least 1"),
        ("lanes: {aging: {low: 0s}}", "lanes.aging.low: must be at least 1ms"),
        ("lanes: {aging: {high: 5s}}", "lanes.aging.high: unknown key"),
        ("lanes: {queues: {a: {concurrency: 0}}}", "lanes.queues.a.concurrency: must be at least"),
        ("lanes: {lease: 0.5s}", "lanes.lease: must be at least 1s, not '0.5s'"),
        ("lanes: {partitions: 5000}", "lanes.partitions: must be at most 1024, not 5000"),
        ("lanes: {max_payload_bytes: 1GiB}", "lanes.max_payload_bytes: must be at most 536870912"),
        ("lanes: {queues: {'a b': {}}}", "lanes.queues.a b: must start with a letter"),
        ("runtime: {min_backoff: 1h}", "runtime.max_backoff: must be at least min_backoff (1h)"),
        ("http: {port: 65536}", "http.port: must be at most 65535, not 65536"),
        ("http: {app: 'a b'}", "http.app: must be module:attribute"),
        ("http: {host: ''}", "http.host: must not be empty"),
        ("fleets: {a: {modules: [m]}}", "fleets.a.queues: must not be empty (octoqueue.yaml:1)"),
        (
            "fleets: {a: {kind: orchestrator, queues: [q], modules: [m]}}",
            "fleets.a.queues: must be empty: orchestrators claim from queues of their own",
        ),
        ("workflows: {lease: 100ms}", "workflows.lease: must be at least 1s"),
        ("workflows: {shards: ['redis://h']}", "workflows.shards: must start with postgresql://"),
        ("fleets: {a: {queues: [], modules: [m]}}", "fleets.a.queues: must not be empty"),
        ("fleets: {a: {queues: a, modules: [m]}}", "fleets.a.queues: must be a list, not 'a'"),
        ("fleets: {a: {queues: [a], modules: [1]}}", "fleets.a.modules: must be text, not 1"),
        ("fleets: {a: {queues: [a], modules: [m-n]}}", "fleets.a.modules: must be the dotted path"),
        ("embedded: {state_dir: 5}", "embedded.state_dir: must be a path, not 5"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(file: Path, text: str, refusal: str) -> None:
    problems = refusal_of(file, text).problems
    assert [str(problem).startswith(refusal) for problem in problems] == [True], problems


@pytest.mark.parametrize(
    "text",
    [
        f"redis: {{url: 'http://u:{PASSWORD}@h'}}",
        f"redis: {{url: 'redis://:a/{PASSWORD}@h'}}",
        f"redis: {{url: 'redis://u:{PASSWORD}'}}",
        f"redis: {{url: ['redis://u:{PASSWORD}@h']}}",
        f"redis: {{ur: 'redis://u:{PASSWORD}@h'}}",
        f"redis: {{password: {PASSWORD}}}",
        f"redis: {{url: {PASSWORD}}}",
        f"redis: 'redis://u:{PASSWORD}@h'",
        f"namespace: 'redis://u:{PASSWORD}@h'",
        f"http: {{port: 'redis://u:{PASSWORD}@h'}}",
        f"postgres: {{url: 'mysql://u:{PASSWORD}@h'}}",
        f"- 'redis://u:{PASSWORD}@h'",
        f"redis: {{url: 'redis://u:{PASSWORD}@h'",
        f"redis: {{url: *{PASSWORD}}}",
        f"redis: {{url: !{PASSWORD} x}}",
        f"redis: {{url: '{PASSWORD}\n",
    ],
)
def test_a_refusal_tells_no_secret(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.load(environ=NOTHING)
    chain = (caught.value, caught.value.__cause__)
    assert all(PASSWORD not in repr(error) for error in chain)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_refused_variable_tells_no_secret(file: Path) -> None:
    secret = f"redis://u:{PASSWORD}@h"
    with pytest.raises(ConfigRefused) as caught:
        Settings.load(
            environ={
                "OCTOQUEUE_REDIS__URL": f"x{secret}",
                "OCTOQUEUE_REDIS_URI": secret,
                "OCTOQUEUE_POSTGRES": f'{{"url": "{secret}"',
                "OCTOQUEUE_FLEETS__A__QUEUES": f'["{secret}"]',
                "OCTOQUEUE_NAMESPACE": secret,
            }
        )
    assert len(caught.value.problems) == 6
    assert PASSWORD not in str(caught.value)


def test_settings_do_not_print_their_passwords() -> None:
    loaded = Settings.load_explained(
        NO_FILE,
        environ={
            "OCTOQUEUE_REDIS_URL": f"redis://u:{PASSWORD}@h",
            "OCTOQUEUE_POSTGRES_URL": f"postgresql://h/d?password={PASSWORD}&sslmode=require",
        },
    )
    assert PASSWORD not in repr(loaded.settings) + str(loaded.settings)
    shown = {entry.key: entry.value for entry in list_values(loaded)}
    assert shown["redis.url"] == "redis://u:****@h"
    assert shown["postgres.url"] == "postgresql://h/d?password=****&sslmode=require"


PRINTABLE = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")))


@given(before=PRINTABLE, after=PRINTABLE)
def test_no_password_is_told_or_shown_however_it_is_written(before: str, after: str) -> None:
    url = f"redis://user:{before}{PASSWORD}{after}@host:6379/0"
    try:
        loaded = Settings.load_explained(NO_FILE, environ={"OCTOQUEUE_REDIS_URL": url})
        said = [str(entry.value) for entry in list_values(loaded)]
    except ConfigError as error:
        said = [str(error)]
    assert PASSWORD not in "".join(said)
