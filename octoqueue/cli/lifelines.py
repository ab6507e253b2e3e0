"""How a process that was started by another one of ours is told by its command line whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from octoqueue.fleet.lifeline import ChildEnd, Lifeline
from octoqueue.fleet.link import AgentLink
from octoqueue.settings.root import Settings

AgentOption = Annotated[Path | None, typer.Option("--agent", hidden=True)]
"""The directory of the fleet agent that has started this process."""

DigestOption = Annotated[str, typer.Option("--digest", hidden=True)]
"""Of what it was started with, as the agent wants it repeated."""


def lifeline_of(
    settings: Settings,
    *,
    supervised: bool,
    agent: Path | None,
    name: str | None,
    fleet: str,
    digest: str,
) -> Lifeline | None:
    """Return what binds this process to who has started it; None: nothing does."""
    if agent is not None:
        return AgentLink(
            agent,
            name=name or fleet,
            fleet=fleet,
            digest=digest,
            grace=settings.agent.orphan_grace,
        )
    return ChildEnd.on_standard_input() if supervised else None
