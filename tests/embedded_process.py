"""A process of its own that uses an instance, and the handle to it.

The process reads one command a line (`start redis`, `start postgres`, `stop`, `pids`, `whoami`)
and answers each with a line of JSON. When its input ends it exits and leaves running what runs.
Given a user name, it becomes that user before it touches anything.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - asyncio imports it late, when root is given up
import contextlib
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Self

from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import EmbeddedError

ROOT = Path(__file__).parents[1]
SERVERS = ("redis", "postgres")


class Process:
    """A process that uses an instance, told what to do."""

    def __init__(self, state_dir: Path, *, user: str = "", wheels: Path | None = None) -> None:
        search = [*([str(wheels)] if wheels else []), str(ROOT), os.environ.get("PYTHONPATH", "")]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded_process", state_dir, user],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(search).rstrip(os.pathsep)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._popen.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def tell(self, command: str) -> None:
        """Send a command."""
        assert self._popen.stdin
        self._popen.stdin.write(command + "\n")
        self._popen.stdin.flush()

    def hear(self) -> object:
        """Return the answer to the oldest command not yet answered."""
        assert self._popen.stdout
        return json.loads(self._popen.stdout.readline())

    def ask(self, command: str) -> object:
        self.tell(command)
        return self.hear()

    def pids(self) -> dict[str, int | None]:
        answer = self.ask("pids")
        assert isinstance(answer, dict)
        return answer

    def kill(self) -> None:
        """Kill it, so that it cannot stop anything."""
        self._popen.kill()
        self.leave()

    def leave(self) -> None:
        """Let it exit without stopping anything."""
        with contextlib.suppress(BrokenPipeError):
            self._popen.communicate(timeout=30)


def become(user: str) -> None:
    """Give up root for good."""
    entry = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


async def obey(services: EmbeddedServices, command: str) -> object:
    """Carry out one command."""
    match command.split():
        case ["start", "redis"]:
            return await services.start_redis()
        case ["start", "postgres"]:
            return await services.start_postgres()
        case ["stop"]:
            await services.stop()
            return None
        case ["pids"]:
            return {status.name: status.pid for status in await services.status()}
        case ["whoami"]:
            return os.geteuid()
        case _:
            raise ValueError(command)


async def main(state_dir: Path, user: str) -> None:
    """Answer until the input ends."""
    if user:
        become(user)
    services = EmbeddedServices(state_dir)
    while command := await asyncio.to_thread(sys.stdin.readline):
        try:
            answer = await obey(services, command)
        except EmbeddedError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
