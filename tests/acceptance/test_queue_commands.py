"""Looking at queues, stopping them and sending to them by the command line, in real processes."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
import termios
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from octoqueue.primitives.messages import QueueStats

APP = """
import octoqueue

@octoqueue.actor(queue="coder", results=True)
async def write(text: str, *, times: int = 1) -> str:
    print("wrote", text * times, flush=True)
    return text
"""


class Shell:
    """Commands in one folder, on one namespace."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.folder = folder
        self.environment: Mapping[str, str] = {
            "OCTOQUEUE_REDIS_URL": redis_url,
            "OCTOQUEUE_NAMESPACE": f"t{uuid4().hex[:8]}",
        }
        (folder / "app.py").write_text(APP)

    def run(self, *words: str) -> tuple[int, str, str]:
        with Program(*words, cwd=self.folder, environment=self.environment) as program:
            code = program.ends()
            return code, "\n".join(program.stdout), "\n".join(program.stderr)

    def answer(self, *words: str) -> Any:  # noqa: ANN401 - what JSON says
        code, out, err = self.run(*words, "--json")
        assert (code, err) == (0, "")
        return orjson.loads(out)

    def stats(self, queue: str) -> QueueStats:
        options = LaneOptions(namespace=self.environment["OCTOQUEUE_NAMESPACE"])
        broker = LaneBroker(self.environment["OCTOQUEUE_REDIS_URL"], options=options)

        async def read() -> QueueStats:
            async with broker.connected():
                return await broker.store().stats(queue)

        return asyncio.run(read())

    def start(self, *words: str) -> Program:
        return Program(*words, cwd=self.folder, environment=self.environment)


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(redis_url, tmp_path)


def test_what_is_sent_from_the_command_line_is_shown_held_up_and_run(shell: Shell) -> None:
    first = shell.answer("enqueue", "write", "-m", "app", "--args", '["one"]', "--lane", "high")
    assert (first["actor"], first["queue"], first["duplicate"]) == ("write", "coder", False)
    assert shell.run("pause", "coder")[0] == 0
    with shell.start("worker", "app") as worker:
        worker.says("ready|worker_started")
        code, out, _ = shell.run(
            "enqueue", "write", "-m", "app", "--kwargs", '{"text": "two", "times": 2}'
        )
        assert (code, len(out)) == (0, 36)
        told = {queue["queue"]: queue for queue in shell.answer("queues")}
        assert told["coder"]["paused"]
        assert told["coder"]["waiting"] == {"high": 1, "normal": 1, "low": 0}
        assert not any("wrote" in line for line in worker.said)
        assert shell.run("resume", "coder")[0] == 0
        worker.says("wrote one")
        worker.says("wrote twotwo")
    assert shell.stats("coder").counters["acked"] == 2


@pytest.mark.parametrize("ending", ["q", "Ctrl-C", "SIGTERM"])
def test_top_shows_the_queues_until_it_is_ended_and_leaves_the_terminal_as_it_was(
    shell: Shell, ending: str
) -> None:
    shell.answer("enqueue", "write", "-m", "app", "--args", '["one"]')
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OCTOQUEUE_")}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-m", "octoqueue", "top", "--every", "0.2"],
        cwd=shell.folder,
        env=environment | dict(shell.environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    try:
        shown = b""
        while b"coder" not in shown or b"1 waiting" not in shown:
            shown += os.read(ours, 65_536)
        if ending == "q":
            os.write(ours, b"q")
        else:
            process.send_signal(signal.SIGTERM if ending == "SIGTERM" else signal.SIGINT)
        assert process.wait(20) == 0
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_top_streams_lines_of_json_into_a_pipe_until_it_is_interrupted(shell: Shell) -> None:
    shell.answer("enqueue", "write", "-m", "app", "--args", '["one"]')
    with shell.start("top", "--json", "--every", "0.1") as program:
        line = program.says("coder", times=2)[1].string
        (told,) = orjson.loads(line)
        assert (told["queue"], told["out_per_second"]) == ("coder", 0)
        program.signal(signal.SIGINT)
        assert program.ends() == 0
        assert program.stderr == []


def test_a_paced_replay_can_be_interrupted_and_taken_up_again(shell: Shell) -> None:
    failing = shell.folder / "failing.py"
    failing.write_text(
        "import octoqueue\n\n"
        "@octoqueue.actor(queue='coder', max_retries=0)\n"
        "async def fail(number: int) -> None:\n"
        "    raise ValueError(number)\n\n"
        "if __name__ == '__main__':\n"
        "    octoqueue.send_many([fail.message(number) for number in range(60)])\n"
    )
    environment = os.environ | dict(shell.environment) | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "failing.py"], cwd=shell.folder, env=environment, check=True)
    with shell.start("worker", "failing") as worker:
        worker.says("message_dead_lettered", times=60)
        worker.signal(signal.SIGTERM)
        assert worker.ends() == 0
    command = ("dead", "replay", "coder", "--all", "--rate", "10/s", "--yes")
    with shell.start(*command) as program:
        while not shell.stats("coder").counters.get("replayed"):
            pass
        program.signal(signal.SIGINT)
        assert program.ends() == 130
        (told,) = program.stderr
    replayed = shell.stats("coder").counters["replayed"]
    assert f"interrupted: {replayed} of 60 were replayed" in told
    assert 0 < replayed < 60
    told = shell.answer("dead", "replay", "coder", "--all", "--yes")
    assert told["replayed"] == 60 - replayed
