"""Real worker processes with long messages: what they say, who keeps them, how they are drained."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from queue import Queue
from shutil import rmtree
from tempfile import mkdtemp
from threading import Thread
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from octoqueue.cli.main import main
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from tests.contract.world import fresh_namespace
from tests.kubernetes_api import Cluster, service_account, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from octoqueue.primitives.signals import Presence, SignalReading

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60
PROGRAM = (sys.executable, "-m", "octoqueue")


def until(fact: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the fact is
    """Return the fact as soon as it is true of another process."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := fact()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


class Pods:
    """Worker processes of one fleet, each as if alone in its pod."""

    def __init__(
        self,
        redis_url: str,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.stage = folder / "stage"
        self.stage.mkdir()
        self.file = folder / "octoqueue.yaml"
        # Not below the folder: the path of a socket has at most 103 bytes.
        self.temporary = Path(mkdtemp(dir="/tmp"))
        self._redis_url = redis_url
        self._capsys = capsys
        self._patch = monkeypatch
        fleet = {
            "queues": ["long"],
            "modules": ["tests.protected_app"],
            "scaling": {"min": 0, "max": 5, "protection": {"at_risk": "300ms"}},
        }
        told = {
            "namespace": fresh_namespace(),
            "redis": {"url": redis_url},
            # Said anew every two seconds; a machine without time loses no lease by that.
            "lanes": {"lease": "6s"},
            "runtime": {"drain": "30s"},
            "fleets": {"coder": fleet},
        }
        self.file.write_text(yaml.safe_dump(told))
        self.settings = Settings.load(self.file, environ={})

    @contextmanager
    def worker(self, pod: str = "pod", **environment: str) -> Generator[subprocess.Popen[bytes]]:
        """`octoqueue worker`, ready; killed in the end."""
        with self.workers(pod, **environment) as (process,):
            yield process

    @contextmanager
    def workers(self, *pods: str, **environment: str) -> Generator[list[subprocess.Popen[bytes]]]:
        """One worker in each pod, all ready."""
        processes = [self._start(pod, environment) for pod in pods]
        try:
            until(lambda: {each.pid for each in processes} <= {one.pid for one in self.presences()})
            yield processes
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()

    def _start(self, pod: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        arguments = ["worker", "tests.protected_app", "--fleet", "coder", "--concurrency", "1"]
        told = {"STAGE": str(self.stage), "TMPDIR": str(self._temporary_of(pod))}
        return subprocess.Popen(
            [*PROGRAM, *arguments, "--config", str(self.file)],
            cwd=ROOT,
            env=os.environ | told | environment,
        )

    def _temporary_of(self, pod: str) -> Path:
        temporary = self.temporary / pod
        temporary.mkdir(mode=0o700, exist_ok=True)
        return temporary

    def drain(self, *arguments: str, pod: str = "pod") -> tuple[int, str]:
        """`octoqueue drain` in a pod: exit code, and all that it printed."""
        with self._patch.context() as patch:
            patch.setattr("tempfile.tempdir", str(self._temporary_of(pod)))
            code = main(["drain", *arguments])
        printed = self._capsys.readouterr()
        return code, printed.out + printed.err

    def presences(self) -> tuple[Presence, ...]:
        """What the live workers say of themselves."""
        return self._read().workers

    def waiting(self) -> int:
        """How many messages wait."""
        return self._read().queues[0].waiting

    def _read(self) -> SignalReading:
        async def read() -> SignalReading:
            store = RedisLaneStore(RedisClient(self._redis_url), lane_options_from(self.settings))
            reading = await store.read_signals(["long"], due_within=timedelta(0))
            await store.aclose()
            return reading

        return asyncio.run(read())

    def send(self, name: str) -> None:
        """Send a message."""
        message = ["enqueue", "work", "--queue", "long", "--args", f'["{name}"]']
        assert main([*message, "--config", str(self.file)]) == 0
        self._capsys.readouterr()

    def begin(self, name: str) -> int:
        """Send a message, wait until it runs, return where."""
        self.send(name)
        pids: list[int] = until(lambda: self.began(name))
        return pids[0]

    def began(self, name: str) -> list[int]:
        """The processes in which it began."""
        return self._pids(f"{name}.began")

    def done(self, name: str) -> list[int]:
        """The processes in which it ended."""
        return self._pids(f"{name}.done")

    def _pids(self, name: str) -> list[int]:
        path = self.stage / name
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def tell(self, name: str) -> None:
        """Let an actor go on."""
        (self.stage / name).touch()

    def scale(self, *arguments: str) -> str:
        """`octoqueue scale coder`."""
        assert main(["scale", "coder", *arguments, "--config", str(self.file)]) == 0
        return self._capsys.readouterr().out

    def decided(self) -> tuple[int, str]:
        """How many workers are wanted, and the rule that says so."""
        (told,) = orjson.loads(self.scale("--explain", "--json"))
        (decisive,) = [step["rule"] for step in told["steps"] if step["is_decisive"]]
        return told["workers"], decisive


@pytest.fixture
def pods(
    redis_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pods]:
    found = Pods(redis_url, tmp_path, capsys, monkeypatch)
    yield found
    rmtree(found.temporary)


def test_a_long_message_is_told_as_work_at_risk_until_its_checkpoint(pods: Pods) -> None:
    def said(running: int, cost: float, seconds: float = 0.0) -> list[Presence]:
        return [
            each
            for each in pods.presences()
            if (each.running, each.at_risk_cost) == (running, cost)
            and each.at_risk_seconds >= seconds
        ]

    with pods.worker() as process:
        (idle,) = until(lambda: said(0, 0))
        assert (idle.at_risk_seconds, idle.at_risk_longest_seconds) == (0, 0)
        pods.begin("a")
        (before,) = until(lambda: said(1, 2.5, 1.0))
        assert (before.pid, before.fleet) == (process.pid, "coder")
        assert before.at_risk_longest_seconds == before.at_risk_seconds
        told_at = time.monotonic()
        pods.tell("a.checkpoint")
        (after,) = until(lambda: said(1, 0))
        assert 0 < after.at_risk_seconds < time.monotonic() - told_at
        pods.tell("a.end")
        until(lambda: [each.at_risk_seconds for each in said(0, 0)] == [0])


def test_a_size_by_hand_is_never_below_the_workers_that_would_lose_much(pods: Pods) -> None:
    with pods.workers("one", "two"):
        assert pods.begin("a") != pods.begin("b")
        pods.scale("1", "--for", "1h")
        until(lambda: pods.decided() == (2, "protected"))
        pods.tell("a.end")
        until(lambda: pods.decided()[0] == 1)


def test_a_drained_worker_claims_nothing_more_and_loses_nothing(pods: Pods) -> None:
    with pods.worker() as process:
        pods.begin("a")
        over = until(lambda: running_still(pods.drain("--for", "300ms")))
        assert "the oldest work for" in over
        until(lambda: [each.is_draining for each in pods.presences()] == [True])
        pods.send("b")
        pods.tell("a.end")
        code, printed = pods.drain("--for", f"{PATIENCE_SECONDS}s")
        assert (code, printed.splitlines()[-1]) == (0, "nothing runs")
        assert pods.done("a") == [process.pid]
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    assert (pods.began("a"), pods.began("b"), pods.waiting()) == ([process.pid], [], 1)


def running_still(drained: tuple[int, str]) -> str:
    """Return what a drain printed whose time was over before its worker's message; else ""."""
    code, printed = drained
    assert code == 1
    return printed if "runs 1 message" in printed else ""  # else the worker had no time to answer


def test_a_terminated_worker_finishes_its_message_without_a_hook(pods: Pods) -> None:
    with pods.worker() as process:
        pods.begin("a")
        process.send_signal(signal.SIGTERM)
        until(lambda: [each.is_draining for each in pods.presences()] == [True])
        assert process.poll() is None
        pods.tell("a.end")
        assert process.wait(PATIENCE_SECONDS) == 0
        assert pods.done("a") == [process.pid]
    assert pods.presences() == ()


def test_a_worker_that_is_killed_while_it_drains_gives_its_message_to_another(pods: Pods) -> None:
    with pods.worker("one") as process:
        pods.begin("a")
        until(lambda: running_still(pods.drain("--for", "0s", pod="one")))
        process.kill()
        process.wait()
        code, printed = pods.drain("--for", "30s", pod="one")
        assert (code, "no worker is here" in printed) == (1, True)
        pods.tell("a.end")
        with pods.worker("two") as other:
            until(lambda: pods.done("a") == [other.pid])


def test_a_worker_in_a_pod_says_what_deleting_it_would_cost(pods: Pods, tmp_path: Path) -> None:
    with in_a_thread() as cluster:
        pod = {
            "OCTOQUEUE_KUBERNETES__API": f"https://127.0.0.1:{cluster.port}",
            "OCTOQUEUE_KUBERNETES__SERVICE_ACCOUNT": str(service_account(tmp_path)),
            "OCTOQUEUE_KUBERNETES__POD": "coder-arm-1",
            "OCTOQUEUE_KUBERNETES__EVERY": "100ms",
        }
        with pods.worker(**pod):
            until(lambda: "0" in cluster.costs)
            pods.begin("a")
            until(lambda: int(cluster.costs[-1]) > 64)  # it has cost something
            pods.tell("a.checkpoint")
            pods.tell("a.end")
            until(lambda: cluster.costs[-1] == "0")
    assert {asked.line.split()[1] for asked in cluster.asked} == {
        "/api/v1/namespaces/octollm/pods/coder-arm-1"
    }


@contextmanager
def in_a_thread() -> Generator[Cluster]:
    """A Kubernetes API that serves while the test waits."""
    loop, found, end = asyncio.new_event_loop(), Queue[Cluster](), asyncio.Event()

    async def serve() -> None:
        async with serving() as cluster:
            found.put(cluster)
            await end.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield found.get(timeout=PATIENCE_SECONDS)
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(PATIENCE_SECONDS)
        loop.close()
