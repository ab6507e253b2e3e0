"""Whom a command runs as when the worker is root: users that nobody else is.

PostgreSQL and others may run as `nobody`, so commands must not: the same user may signal it and
read its files. Each slot of each launcher has a number of its own instead, derived from the
launcher's process id, without an account. A container that maps few ids gets a lower range.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

SLOTS = 64
"""Commands that one launcher runs at the same time, at most."""
_RANGES = (1_500_000_000, 20_000)
_SPREAD_LOW = 600
"""Launchers told apart in the low range; it ends below 60,000."""


@dataclass(frozen=True, slots=True)
class Identities:
    """The users of one launcher's slots."""

    first: int | None
    """The first one's number; None when commands run as the worker's own user."""

    def of_slot(self, slot: int) -> int | None:
        """Return the user of a slot, None for the worker's own."""
        return None if self.first is None else self.first + slot


def choose_identities() -> Identities:
    """Return the users for this launcher.

    Raises:
        PermissionError: root, but no other user can be taken; commands must not run as root.
    """
    if os.geteuid() != 0:
        return Identities(None)
    for start in _RANGES:
        launcher = os.getpid() if start == _RANGES[0] else os.getpid() % _SPREAD_LOW
        first = start + launcher * SLOTS
        if _can_become(first):
            return Identities(first)
    raise PermissionError("root may not become another user here, and commands do not run as root")


def become(user: int) -> None:
    """Give up root for good: user and group `user`, no other groups."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _can_become(user: int) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            become(user)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
