"""`octoqueue down`: end the private servers that other commands have left running."""

from __future__ import annotations

from typing import Final

import typer

from octoqueue.cli.agent_place import state_dir_of
from octoqueue.cli.output import ConfigOption, JsonOption, answers, failures, print_json, run_async
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Stop the private Redis and PostgreSQL of this machine. Their data stays.

A worker or a program that finds no configured server starts a private one and leaves it running \
for the next; `octoqueue up` stops what it has started itself. Workers that still run lose their \
connection and wait for the servers to come back. A running `octoqueue up` starts its servers \
again: end that with Ctrl-C instead.
"""


@app.command(help=_HELP)
def down(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Stop the private servers."""
    with failures(as_json=as_json):
        settings = Settings.load(config)
        place = state_dir_of(settings)
        ended = run_async(EmbeddedServices(place).shut_down())
    if as_json:
        print_json({"state_dir": str(place), "stopped": ended})
    elif ended:
        for name, pid in ended.items():
            answers().print(f"{name} stopped (process {pid}); its data stays in {place}")
    else:
        answers().print(f"no private server of {place} was running")
