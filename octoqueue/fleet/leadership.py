"""`Leadership`: of the agents of one installation on one machine, one acts.

It holds a lock of the kernel's on a file, which goes with the process that holds it, however that
dies. The others wait, and take over.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from octoqueue.embedded.life_lock import LifeLock
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 0.2


class Leadership:
    """The lock of one agent."""

    def __init__(self, path: Path, *, clock: Clock | None = None) -> None:
        self._path = path
        self._lock = LifeLock(path)
        self._clock = clock or SystemClock()
        self._held = ExitStack()

    async def take(self, *, pid: int) -> bool:
        """Return when this process leads; True when it had to wait for another one's end."""
        has_waited = False
        while not self._try(pid):
            if not has_waited:
                has_waited = True
                log.warning(
                    "agent_waits",
                    extra={
                        "leader_pid": self._lock.holder(),
                        "hint": "this one takes over when that one ends; to run something else "
                        "beside it, give it another OCTOQUEUE_EMBEDDED__NAME",
                    },
                )
            await self._clock.sleep(_LOOK_AGAIN_SECONDS)
        if has_waited:
            log.info("agent_takes_over")
        return has_waited

    def give_up(self) -> None:
        """Let another one lead. Idempotent."""
        self._held.close()

    def _try(self, pid: int) -> bool:
        with ExitStack() as trying:
            descriptor = trying.enter_context(self._lock.taken())
            if descriptor is None:
                return False
            self._lock.name_holder(descriptor, pid)
            self._held = trying.pop_all()
            return True
