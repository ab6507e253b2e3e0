"""Processes that live, told from those that have their number."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from octoqueue.fleet.living import AdoptedProcess, birth_of
from octoqueue.fleet.machine import resident_bytes, this_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="start times are in /proc")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def claimed(pid: int) -> AdoptedProcess:
    process = AdoptedProcess.claim(pid, birth=birth_of(pid))
    assert process is not None
    return process


async def test_one_that_is_asked_to_stop_ends(sleeper: subprocess.Popen[bytes]) -> None:
    process = claimed(sleeper.pid)
    ending = asyncio.create_task(process.wait())
    process.ask_to_stop()
    await asyncio.to_thread(sleeper.wait)
    assert await ending is None
    process.let_go()


async def test_one_that_is_killed_ends_and_may_be_asked_again(
    sleeper: subprocess.Popen[bytes],
) -> None:
    process = claimed(sleeper.pid)
    process.kill()
    await asyncio.to_thread(sleeper.wait)
    await process.wait()
    process.ask_to_stop()
    process.kill()
    process.let_go()
    process.let_go()


@needs_proc
def test_another_process_with_its_number_is_not_claimed(sleeper: subprocess.Popen[bytes]) -> None:
    assert AdoptedProcess.claim(sleeper.pid, birth="another boot:1") is None


@needs_proc
async def test_another_process_with_its_number_is_not_signalled(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    meant = AdoptedProcess(sleeper.pid, birth="another boot:1")
    meant.ask_to_stop()
    meant.kill()
    assert await meant.wait() is None
    assert sleeper.poll() is None


def test_one_that_has_ended_is_not_claimed(sleeper: subprocess.Popen[bytes]) -> None:
    birth = birth_of(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert AdoptedProcess.claim(sleeper.pid, birth=birth) is None
    assert birth_of(sleeper.pid) is None


def test_what_processes_have_is_read_and_those_that_are_gone_are_left_out() -> None:
    found = resident_bytes([os.getpid(), 2**22 + 1])
    assert found.keys() == {os.getpid()}
    assert 1 << 20 < found[os.getpid()] < this_machine().memory_bytes
    assert this_machine().processors >= 1
