"""`EmbeddedSettings`: the private servers of a machine without any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from octoqueue.settings.names import ShortName
from octoqueue.settings.section import Section


def _at_home(path: Path | None) -> Path | None:
    return path.expanduser() if path else None


class EmbeddedSettings(Section):
    """The Redis and PostgreSQL that octoqueue starts itself where no URL is configured."""

    name: ShortName = "default"
    """Names this set of servers. Processes with the same name share one set and its data."""

    state_dir: Annotated[Path | None, AfterValidator(_at_home)] = None
    """Folder of their data and sockets. Without one, `octoqueue/<name>` below the user's state
    folder (`$XDG_STATE_HOME`, else `~/.local/state`; of root `/var/lib`)."""
