"""What the numbers were measured on: without it they mean nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import octoqueue

_PACKAGES = ("redis", "hiredis", "uvloop", "orjson", "dramatiq")
_ROOT = Path(__file__).resolve().parent.parent


def facts(*, redis_version: str) -> dict[str, str]:
    """Return machine, versions and date, as names and texts; no name of the host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ram_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{cores} cores, {_processor()}, {ram_gib:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Redis": redis_version,
        **{package: version(package) for package in _PACKAGES},
        "octoqueue": f"{octoqueue.__version__}, commit {_commit()}",
    }


async def busy_percent(seconds: float = 1.0) -> float | None:
    """Return how busy all cores together are while we do nothing; None where nobody says.

    It is other people's work, and what they take (or a hypervisor withholds) is missing below.
    """
    before = _ticks()
    await asyncio.sleep(seconds)
    after = _ticks()
    if before is None or after is None or after[1] == before[1]:
        return None
    return 100 * (1 - (after[0] - before[0]) / (after[1] - before[1]))


def _ticks() -> tuple[int, int] | None:
    """Return idle and all ticks of all cores since the machine was started."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    except OSError:
        return None
    ticks = [int(word) for word in line.split()[1:9]]  # guests are counted in user already
    return ticks[3] + ticks[4], sum(ticks)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def said(*words: str) -> str:
        command = [git, "-C", str(_ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    commit = said("rev-parse", "--short", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit}, changed since" if said("status", "--porcelain", "octoqueue") else commit
