"""`octoqueue scale` on a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from octoqueue.cli.main import main
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from tests.contract.world import fresh_namespace, message
from tests.scalers.conftest import FLEETS

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.metrics.scaling_memory import Remembered


class Desk:
    """The command line in front of one namespace."""

    def __init__(self, redis_url: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.namespace = fresh_namespace()
        self.file = folder / "octoqueue.yaml"
        told = {"namespace": self.namespace, "redis": {"url": redis_url}, "fleets": FLEETS}
        self.file.write_text(yaml.safe_dump(told))
        self.settings = Settings.load(self.file, environ={})
        self._url = redis_url
        self._capsys = capsys

    def says(self, *arguments: str, code: int = 0) -> str:
        """Run a command; return what it answers, or what it complains of."""
        assert main(["scale", *arguments, "--config", str(self.file)]) == code
        told = self._capsys.readouterr()
        return told.err if code else told.out

    def tells(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        return orjson.loads(self.says(*arguments, "--json"))

    def heard(self) -> tuple[str, str]:
        """Return what was answered and what was complained of since this was last asked for."""
        told = self._capsys.readouterr()
        return told.out, told.err

    def break_signals(self) -> None:
        """Make the counters of a queue that was used something that cannot be read."""

        async def break_them() -> None:
            client = RedisClient(self._url)
            for key in await client.command("KEYS", f"*{self.namespace}:0*executor:stats"):
                await client.command("DEL", key)
                await client.command("SET", key, "no hash")
            await client.aclose()

        asyncio.run(break_them())

    def put(self, count: int) -> None:
        async def put() -> None:
            store = RedisLaneStore(RedisClient(self._url), lane_options_from(self.settings))
            sent = [message(str(number), queue="executor") for number in range(count)]
            assert await store.enqueue([sent]) == [None]
            await store.aclose()

        asyncio.run(put())

    def remembered(self) -> Remembered:
        async def recall() -> Remembered:
            client = RedisClient(self._url)
            memory = RedisScalingMemory(client, namespace=self.namespace)
            try:
                return await memory.recall("executor")
            finally:
                await client.aclose()

        return asyncio.run(recall())


@pytest.fixture
def desk(redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(redis_url, tmp_path, capsys)


def test_what_is_said_by_hand_counts_for_its_time(desk: Desk) -> None:
    assert desk.says("executor", "4", "--for", "1h").startswith(
        "Fleet executor is to have 4 workers until"
    )
    remembered = desk.remembered()
    override = remembered.override
    assert override is not None
    assert (override.workers, override.beyond_max) == (4, False)
    assert "@" in override.said_by
    assert abs(override.until_ms - remembered.now_ms - 3_600_000) < 60_000


def test_more_than_the_maximum_is_bounded_and_said_so(desk: Desk) -> None:
    assert "20 at most; --beyond-max" in desk.says("executor", "40", "--for", "1h")
    assert desk.tells("executor", "--explain")[0]["workers"] == 20
    assert "at most" not in desk.says("executor", "40", "--for", "1h", "--beyond-max")
    assert desk.tells("executor", "--explain")[0]["workers"] == 40


def test_a_budget_that_bounds_what_is_said_by_hand_is_told(desk: Desk) -> None:
    told = yaml.safe_load(desk.file.read_text())
    told["fleets"]["executor"]["scaling"]["caps"] = {
        "cost_per_worker_hour": 1,
        "budget_per_hour": 5,
    }
    desk.file.write_text(yaml.safe_dump(told))
    said = desk.says("executor", "40", "--for", "1h", "--beyond-max")
    assert "It has 5 for now: a budget of 5 an hour" in said
    assert desk.tells("executor", "4", "--for", "1h")["wanted"] == 4
    assert "for now" not in desk.says("executor", "4", "--for", "1h")


def test_what_is_said_by_hand_is_kept_where_the_signals_cannot_be_read(desk: Desk) -> None:
    desk.put(1)
    desk.break_signals()
    assert desk.says("executor", "4", "--for", "1h").startswith(
        "Fleet executor is to have 4 workers"
    )
    override = desk.remembered().override
    assert override is not None
    assert override.workers == 4


def test_a_fleet_that_cannot_be_read_hides_no_other(desk: Desk) -> None:
    desk.put(1)
    desk.break_signals()
    assert main(["scale", "--explain", "--config", str(desk.file)]) == 2
    out, err = desk.heard()
    assert "judge wants 2 workers" in out
    assert "fleet 'executor' cannot be read" in err
    assert main(["scale", "--explain", "--json", "--config", str(desk.file)]) == 2
    out, err = desk.heard()
    assert [one["fleet"] for one in orjson.loads(out)] == ["judge"]
    assert "fleet 'executor' cannot be read" in err


def test_what_was_said_can_be_ended(desk: Desk) -> None:
    desk.says("executor", "4", "--for", "1h")
    assert desk.tells("executor", "--clear") == {"fleet": "executor", "cleared": True}
    assert desk.remembered().override is None
    assert desk.says("executor", "--clear") == "Nothing was said by hand of fleet executor.\n"


def test_a_decision_is_explained_with_every_step_and_the_numbers_it_stands_on(desk: Desk) -> None:
    desk.put(35)
    (told,) = desk.tells("executor", "--explain")
    assert (told["fleet"], told["workers"], told["is_active"]) == ("executor", 4, True)
    (decisive,) = [step for step in told["steps"] if step["is_decisive"]]
    assert (decisive["rule"], decisive["workers"]) == ("depth", 4)
    (queue,) = told["signals"]
    assert queue["waiting"] == {"high": 0, "normal": 35, "low": 0}
    assert 0 <= queue["age_seconds"] < 60
    assert 0 <= told["signals_age_seconds"] < 60
    assert told["override"] is None


def test_a_person_is_told_the_same(desk: Desk) -> None:
    desk.put(35)
    desk.says("executor", "6", "--for", "1h")
    told = desk.says("executor", "--explain")
    assert told.startswith("executor wants 6 workers by override: ")
    assert "It may have 0 to 20 workers." in told
    assert "depth" in told
    assert "> override" in " ".join(told.split())
    assert "No worker is alive. Read " in told


def test_all_fleets_are_explained_when_none_is_named(desk: Desk) -> None:
    assert [one["fleet"] for one in desk.tells("--explain")] == ["executor", "judge"]


def test_who_only_asks_changes_nothing(desk: Desk) -> None:
    desk.put(35)
    desk.says("--explain")
    remembered = desk.remembered()
    assert (remembered.decision, remembered.wishes) == (None, ())


def test_a_fleet_nobody_configured_is_refused_with_the_nearest(desk: Desk) -> None:
    for arguments in (("4", "--for", "1h"), ("--clear",), ("--explain",)):
        said = desk.says("executer", *arguments, code=1)
        assert "no fleet 'executer' is configured (there are: executor, judge)" in said
        assert "did you mean 'executor'?" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a fleet"),
        (("executor",), "scale executor 4 --for 1h"),
        (("executor", "4"), "scale executor 4 --for 1h"),
        (("executor", "4", "--for", "soon"), "is no duration"),
        (("executor", "4", "--for", "0s"), "at least 1ms"),
        (("executor", "4", "--for", "0.0001s"), "at least 1ms"),
        (("executor", "1" + "0" * 30, "--for", "1h"), "1000000"),
        (("executor", "4", "--for", "91d"), "at most 90d"),
        (("executor", "-1", "--for", "1h"), "No such option"),
        (("executor", "4", "--clear"), "--clear goes with nothing but a fleet"),
        (("executor", "4", "--explain"), "--explain goes with nothing but a fleet"),
    ],
)
def test_what_cannot_be_meant_is_refused(desk: Desk, arguments: tuple[str, ...], said: str) -> None:
    assert said in desk.says(*arguments, code=2)


def test_a_redis_that_is_not_there_is_an_error_and_not_no_workers(
    desk: Desk, tmp_path: Path
) -> None:
    told = yaml.safe_load(desk.file.read_text())
    told["redis"] = {"url": f"unix://{tmp_path}/none.sock"}
    desk.file.write_text(yaml.safe_dump(told))
    said = desk.says("--explain", code=2)
    assert "cannot be read" in said
    assert said.count("\n") == 1
