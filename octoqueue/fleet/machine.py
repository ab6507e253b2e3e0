"""What this machine has room for: processors and memory, and what processes use of it.

On Linux from `/proc` and the control group, so that a container counts as the machine it is allowed
to be. Elsewhere memory is asked of the system, and what processes use of `ps`.

The weakness: resident memory counts pages that processes share once for each, so it overstates.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PS_SECONDS = 5
_CGROUP_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is there."""

    processors: int
    memory_bytes: int


def this_machine() -> Machine:
    """Return what this process may use."""
    with contextlib.suppress(AttributeError):
        return Machine(processors=len(os.sched_getaffinity(0)), memory_bytes=_memory_bytes())
    return Machine(processors=os.cpu_count() or 1, memory_bytes=_memory_bytes())


def _memory_bytes() -> int:
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number
            found = min(found, int(Path(limit).read_text()))
    return found


def resident_bytes(pids: Iterable[int]) -> Mapping[int, int]:
    """Return how much memory each process has; those that have ended are missing."""
    pids = tuple(pids)
    if Path("/proc/self/statm").exists():
        page = os.sysconf("SC_PAGE_SIZE")
        found: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(OSError, IndexError):
                found[pid] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page
        return found
    return _asked_of_ps(pids) if pids else {}


def _asked_of_ps(pids: tuple[int, ...]) -> Mapping[int, int]:
    try:
        told = subprocess.run(  # noqa: S603 - a fixed command and numbers
            ["/bin/ps", "-o", "pid=,rss=", "-p", ",".join(map(str, pids))],
            capture_output=True,
            check=False,
            text=True,
            timeout=_PS_SECONDS,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = (line.split() for line in told.splitlines())
    return {int(pid): int(kibibytes) * 1024 for pid, kibibytes in rows}
