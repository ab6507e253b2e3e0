"""`Roster`: which worker processes an agent looks after, written down for the one that follows it.

The weakness: an agent that dies between the start of a process and the note of it leaves one that
its successor does not know; when that introduces itself, it is told to leave.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One process."""

    name: str
    fleet: str
    pid: int
    birth: str | None
    """What tells it from others with its pid (`birth_of`)."""
    digest: str
    """Of what it was started with."""
    is_ready: bool
    is_leaving: bool


class Roster:
    """A file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Entry, ...]:
        """Return what was written last; nothing when that cannot be read."""
        try:
            return tuple(Entry(**entry) for entry in orjson.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError) as error:
            log.warning("roster_unreadable", extra={"path": self._path, "reason": str(error)})
            return ()

    def write(self, entries: Iterable[Entry]) -> None:
        """Replace it."""
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(orjson.dumps([asdict(entry) for entry in entries]))
        fresh.chmod(0o600)
        fresh.replace(self._path)
