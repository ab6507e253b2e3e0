"""`octoqueue forecast`, and the actor that learns every minute, on real servers."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from octoqueue.broker.default import default_broker, use_broker
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.cli.main import main
from octoqueue.settings.root import Settings
from tests.contract.world import fresh_namespace
from tests.databases import fresh_database
from workers.forecasting import HISTORY, lifespan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """
namespace: {namespace}
fleets:
  executor:
    queues: [executor]
    modules: [workers.arms.executor]
  quiet:
    queues: [quiet]
    modules: [workers.arms.executor]
    scaling: {{forecast: {{use: false}}}}
"""


class Shell:
    """The command as a shell sees it."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = config
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["forecast", *words, "--config", str(self.config)])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def answer(self, *words: str) -> Any:  # noqa: ANN401 - any JSON
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    def minute_passes(self) -> None:
        """Let the admin worker do what it does every minute."""
        settings, before = Settings.load(self.config), default_broker()
        broker = LaneBroker()
        use_broker(broker)

        async def run() -> None:
            async with broker.connected(settings), lifespan(settings):
                await HISTORY.get().move(broker.store())

        try:
            asyncio.run(run())
        finally:
            broker.close()
            use_broker(before)


@pytest.fixture
def shell(
    postgres_dsn: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Shell]:
    config = tmp_path / "octoqueue.yaml"
    config.write_text(CONFIG.format(namespace=fresh_namespace()))
    with asyncio.Runner() as runner:
        lent = fresh_database(postgres_dsn)
        monkeypatch.setenv("OCTOQUEUE_POSTGRES_URL", runner.run(lent.__aenter__()))
        monkeypatch.setenv("OCTOQUEUE_REDIS_URL", redis_url)
        yield Shell(config, capsys)
        runner.run(lent.__aexit__(None, None, None))


def csv(tmp_path: Path, *, days: int, ends: datetime) -> Path:
    path = tmp_path / "requests.csv"
    first = ends.replace(second=0, microsecond=0) - timedelta(days=days)
    lines = ["period,count"]
    for i in range(days * 1440):
        minute = first + timedelta(minutes=i)
        count = round(300 * (1.2 + math.sin((minute.hour + minute.minute / 60) / 12 * math.pi)))
        lines.append(f"{minute:%Y-%m-%d %H:%M:%S},{count}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_what_was_imported_is_learnt_within_a_minute_and_shown(
    shell: Shell, tmp_path: Path
) -> None:
    path = csv(tmp_path, days=3, ends=datetime.now(UTC))
    told = shell.answer("import", str(path), "--queue", "executor")
    assert told == {"minutes": 4320, "added": 4320, "moved_weeks": 0, "fleets": []}
    shell.minute_passes()
    (shown,) = shell.answer("show", "executor", "--minutes", "3")
    assert not shown["is_followed"]
    assert "nobody has decided" in shown["reason"]
    found = shown["forecast"]
    assert len(found["minutes"]) == 3
    assert found["scored_minutes"] > 4000
    for minute in found["minutes"]:
        assert 0 <= minute["low_per_second"] <= minute["per_second"] <= minute["high_per_second"]
    _, out, _ = shell.run("show", "executor")
    assert "not followed" in out
    assert "expected" in out


def test_a_redis_that_forgot_everything_is_told_again_within_a_minute(
    shell: Shell, tmp_path: Path, redis_url: str
) -> None:
    path = csv(tmp_path, days=1, ends=datetime.now(UTC))
    shell.answer("import", str(path), "--queue", "executor")
    shell.minute_passes()
    (before,) = shell.answer("show", "executor")
    with Redis.from_url(redis_url) as redis:
        mine = list(redis.scan_iter(f"*{Settings.load(shell.config).namespace}*"))
        assert redis.delete(*mine) == len(mine) > 0
    (gone,) = shell.answer("show", "executor")
    assert gone["forecast"] is None
    shell.minute_passes()
    (after,) = shell.answer("show", "executor")
    assert after["forecast"]["scored_minutes"] >= before["forecast"]["scored_minutes"]


def test_importing_again_adds_nothing_and_forecasts_learn_anew(
    shell: Shell, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    path = csv(tmp_path, days=1, ends=now)
    shell.answer("import", str(path), "--queue", "executor")
    shell.minute_passes()
    again = shell.answer("import", str(path), "--queue", "executor")
    assert (again["added"], again["fleets"]) == (0, ["executor"])  # the first may have died
    shell.minute_passes()
    older = csv(tmp_path, days=2, ends=now)
    more = shell.answer("import", str(older), "--queue", "executor")
    assert (more["added"], more["fleets"]) == (1440, ["executor"])


def test_an_old_file_is_refused_unless_it_is_moved(shell: Shell, tmp_path: Path) -> None:
    path = csv(tmp_path, days=1, ends=datetime(1998, 6, 1, tzinfo=UTC))
    code, _, err = shell.run("import", str(path), "--queue", "executor")
    assert code == 2
    assert "--recent moves them by whole weeks" in err
    told = shell.answer("import", str(path), "--queue", "executor", "--recent")
    assert told["added"] == 1440
    assert told["moved_weeks"] > 1400


def test_why_there_is_no_forecast_is_said(shell: Shell) -> None:
    executor, quiet = shell.answer("show")
    assert executor["forecast"] is None
    assert "there is none" in executor["reason"]
    assert "the configuration says so" in quiet["reason"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("show", "nobody"), "no fleet 'nobody' is configured"),
        (("import", "/nowhere.csv", "--queue", "executor"), "cannot be read"),
        (
            ("import", "/nowhere.csv", "--queue", "executer"),
            "no fleet serves 'executer' (served are: executor, quiet)",
        ),
    ],
)
def test_what_is_not_there_is_named(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    code, _, err = shell.run(*words)
    assert code != 0
    assert complaint in err


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("period,count\n{minute},many\n", "line 2, count: 'many' is no number"),
        ("period,count\n{minute},5e9\n", "more than the 2,147,483,647 that history can count"),
        ("when,what\n{minute},1\n", "a trace begins with 'period,count'"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(
    shell: Shell, tmp_path: Path, lines: str, complaint: str
) -> None:
    path = tmp_path / "requests.csv"
    minute = datetime.now(UTC) - timedelta(hours=1)
    path.write_text(lines.format(minute=f"{minute:%Y-%m-%d %H:%M}:00"))
    code, _, err = shell.run("import", str(path), "--queue", "executor")
    assert code == 2
    assert complaint in err


def test_importing_without_numpy_says_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "octoqueue.cli.forecast_import", raising=False)
    monkeypatch.setitem(sys.modules, "numpy", None)
    code, _, err = shell.run("import", "requests.csv", "--queue", "executor")
    assert code == 2
    assert err == "octoqueue: importing needs numpy: pip install 'octoqueue[forecast]'\n"
