"""How the processes of a server are born: detached, with a clean environment, in its life lock."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from pathlib import Path
    from typing import BinaryIO

    from octoqueue.embedded.account import Account

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""Nothing is inherited: PGDATA, PGPORT or a locale would quietly change what is started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Starts processes that hold the life lock and write to the log of one server."""

    life_lock: int
    """The descriptor to inherit."""
    log: BinaryIO
    timeout: timedelta

    def start(
        self, command: Sequence[str | Path], *, home: Path, account: Account | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own: Ctrl-C in our terminal does not reach it.

        Raises:
            OSError: the program cannot be run, or not as this account.
        """
        return subprocess.Popen(  # noqa: S603 - a server program we looked up, our own arguments
            command,
            cwd=home,
            env=_ENVIRONMENT,
            extra_groups=None if account is None else [],
            group=None if account is None else account.gid,
            pass_fds=(self.life_lock,),
            start_new_session=True,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            umask=0o077,
            user=None if account is None else account.uid,
        )

    def run(
        self, command: Sequence[str | Path], *, home: Path, account: Account | None = None
    ) -> None:
        """Start `command` and wait until it has succeeded.

        Raises:
            subprocess.SubprocessError: it failed, or took longer than the timeout.
            OSError: the program cannot be run, or not as this account.
        """
        process = self.start(command, home=home, account=account)
        try:
            code = process.wait(self.timeout.total_seconds())
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        if code:
            raise subprocess.CalledProcessError(code, command[0])
