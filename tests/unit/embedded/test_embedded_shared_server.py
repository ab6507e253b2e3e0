"""The one loop that starts, joins and stops, around servers that are made up."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.redis_server import RedisServer
from octoqueue.embedded.shared_server import SharedServer
from octoqueue.errors import EmbeddedError
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from octoqueue.embedded.launch import Launcher

LONG = timedelta(seconds=60)
WAIT = "import sys, threading; print('begun', flush=True); threading.Event().wait()"
WAIT_STUBBORNLY = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
FAIL = "import sys; print('the disk is on fire'); sys.exit(3)"


@dataclass
class MadeUpServer:
    """A server whose process runs `program`, and which says of itself what the test says."""

    home: Path
    program: str = WAIT
    says: Readiness = Readiness.ABSENT
    says_once_launched: Readiness = Readiness.READY
    name: str = "made-up"
    url: str | None = "made-up://"
    stop_signal: signal.Signals = signal.SIGTERM
    launched: list[subprocess.Popen[bytes]] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    def probe(self) -> Readiness:
        if self.launched:
            self.asked.set()
        return self.says

    def launch(self, launcher: Launcher) -> subprocess.Popen[bytes]:
        self.home.mkdir(exist_ok=True)
        process = launcher.start([sys.executable, "-c", self.program], home=self.home)
        log = self.home.parent / "made-up.log"
        if self.program is not FAIL:  # signals are for a program that has begun
            pause = threading.Event()
            while b"begun" not in log.read_bytes():
                assert process.poll() is None
                pause.wait(0.01)
        self.launched.append(process)
        self.says = self.says_once_launched
        return process

    def finish(self) -> None:
        raise EmbeddedError("the last step is too high")


class HastyClock(SystemClock):
    """Every look at it is an hour later."""

    def __init__(self) -> None:
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        return self._looks * 3600.0


@pytest.fixture
def server(tmp_path: Path) -> MadeUpServer:
    return MadeUpServer(tmp_path / "home")


def shared(server: MadeUpServer, clock: SystemClock | None = None) -> SharedServer:
    return SharedServer(server, state_dir=server.home.parent, clock=clock or SystemClock())


def test_starting_twice_launches_once(server: MadeUpServer) -> None:
    one = shared(server)
    assert one.start(timeout=LONG) == one.start(timeout=LONG) == "made-up://"
    assert len(server.launched) == 1
    one.stop(timeout=LONG)
    one.stop(timeout=LONG)
    assert server.launched[0].returncode == -signal.SIGTERM


def test_a_server_that_answers_is_joined_and_left_alone(server: MadeUpServer) -> None:
    server.says = Readiness.READY
    joiner = shared(server)
    joiner.start(timeout=LONG)
    assert not joiner.status().started_here
    joiner.stop(timeout=LONG)
    assert server.launched == []


def test_a_server_that_ends_at_once_is_reported_with_what_it_said(server: MadeUpServer) -> None:
    server.program, server.says_once_launched = FAIL, Readiness.ABSENT
    with pytest.raises(EmbeddedError, match=r"(?s)exit code 3.*made-up\.log:\nthe disk is on fire"):
        shared(server).start(timeout=LONG)


def test_a_server_that_never_answers_is_ended_at_the_deadline(server: MadeUpServer) -> None:
    server.says_once_launched = Readiness.STARTING
    with pytest.raises(EmbeddedError, match="made-up did not answer within 60 s"):
        shared(server, HastyClock()).start(timeout=LONG)
    assert server.launched[0].returncode == -signal.SIGTERM


def test_a_last_step_that_fails_is_named_at_the_deadline(server: MadeUpServer) -> None:
    server.says_once_launched = Readiness.UNFINISHED
    with pytest.raises(EmbeddedError, match="the last step is too high"):
        shared(server, HastyClock()).start(timeout=timedelta(hours=3))
    assert server.launched[0].returncode == -signal.SIGTERM


def test_a_server_that_does_not_end_when_asked_is_killed(server: MadeUpServer) -> None:
    server.program = WAIT_STUBBORNLY
    one = shared(server)
    one.start(timeout=LONG)
    one.stop(timeout=timedelta(milliseconds=50))
    assert server.launched[0].returncode == -signal.SIGKILL


def test_stopping_makes_a_start_under_way_give_up(server: MadeUpServer) -> None:
    server.says_once_launched = Readiness.STARTING
    one = shared(server)
    failures: list[EmbeddedError] = []

    def start() -> None:
        with pytest.raises(EmbeddedError) as failure:
            one.start(timeout=LONG)
        failures.append(failure.value)

    starting = threading.Thread(target=start)
    starting.start()
    assert server.asked.wait(30)
    one.stop(timeout=LONG)
    starting.join()
    assert "it is to be stopped" in str(failures[0])
    assert server.launched[0].returncode == -signal.SIGTERM


def test_the_lock_names_the_process_while_it_lives(server: MadeUpServer) -> None:
    one = shared(server)
    one.start(timeout=LONG)
    assert one.status().pid == server.launched[0].pid
    one.stop(timeout=LONG)
    assert LifeLock(server.home.parent / "made-up.lock").holder() is None


def test_a_log_that_grew_long_is_put_aside(server: MadeUpServer) -> None:
    log = server.home.parent / "made-up.log"
    log.write_bytes(b"x" * (17 << 20))
    one = shared(server)
    one.start(timeout=LONG)
    one.stop(timeout=LONG)
    assert log.read_bytes() == b"begun\n"
    assert log.with_suffix(".log.1").stat().st_size == 17 << 20


def test_redis_6_does_not_start_on_data_of_redis_7(state_dir: Path) -> None:
    """It would not read the newer layout and serve an empty database."""
    (state_dir / "redis/appendonlydir").mkdir(parents=True)
    redis = SharedServer(RedisServer(state_dir), state_dir=state_dir, clock=SystemClock())
    with pytest.raises(EmbeddedError, match="put the newer server back on PATH"):
        redis.start(timeout=LONG)
