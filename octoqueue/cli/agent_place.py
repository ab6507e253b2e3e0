"""Where the fleet agent of an installation keeps what outlives it."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import orjson

from octoqueue.embedded.state_dir import default_state_dir, make_private
from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)


def state_dir_of(settings: Settings) -> Path:
    """Return where the private servers of a configuration keep their data."""
    embedded = settings.embedded
    return embedded.state_dir or default_state_dir(embedded.name, environ=os.environ)


def agent_directory(settings: Settings) -> Path:
    """Return the directory of the agents of one installation on this machine.

    An installation is who shares a Redis and a namespace in it.
    """
    name = settings.namespace
    if settings.redis.url is not None:
        name += f"-{hashlib.sha256(settings.redis.url.encode()).hexdigest()[:12]}"
    return state_dir_of(settings).expanduser() / "agents" / name


def made_agent_directory(settings: Settings) -> Path:
    """Return `agent_directory`, made where it is missing.

    Raises:
        EmbeddedError: it cannot be made, or others can write to it.
    """
    # The servers' account must be able to pass when root runs them.
    make_private(state_dir_of(settings).expanduser(), mode=0o711 if os.geteuid() == 0 else 0o700)
    directory = agent_directory(settings)
    make_private(directory.parent)
    return make_private(directory)


class ServerNote:
    """Which private servers were started here, for the agent that follows one that has died."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "servers.json"

    def read(self) -> dict[str, int]:
        """Return their pids, by server; nothing when it cannot be read."""
        try:
            found = orjson.loads(self._path.read_bytes())
            return {str(name): int(pid) for name, pid in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def write(self, pids: dict[str, int]) -> None:
        """Replace it; where that cannot be, who follows leaves them running."""
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(orjson.dumps(pids))
            fresh.replace(self._path)
        except OSError as error:
            log.warning("servers_not_noted", extra={"reason": str(error)})
