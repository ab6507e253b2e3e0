"""`octoqueue workflows`: see what durable workflows do, and steer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from octoqueue.cli import workflow_code as code
from octoqueue.cli import workflow_steering as steering
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    complain,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.workflow_desk import opened_workflows
from octoqueue.cli.workflow_history_views import print_history
from octoqueue.cli.workflow_views import (
    list_document,
    print_executions,
    print_sight,
    say,
    signals_waited_for,
)
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.clock import SystemClock
from octoqueue.settings.root import Settings
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.exports import history_document, history_json
from octoqueue.workflows.finding import filter_from, find_history
from octoqueue.workflows.protocol import Filter, Loaded, WorkflowStore
from octoqueue.workflows.sights import Sight, sight_document, sight_of

T = TypeVar("T")

app = typer.Typer(
    help="See what durable workflows do, signal and cancel them, begin failed ones again.",
    no_args_is_help=True,
    add_completion=False,
)

_LIST_HELP: Final = """
List executions of workflows, newest first.

\b
    octoqueue workflows list
    octoqueue workflows list --status failed --name order
    octoqueue workflows list --tenant acme --limit 100 --json
    octoqueue workflows list --before 01890a5d-ac96-774b-bcce-b302099a8057

A workflow has several executions when it was retried or has continued as new.
"""
_SHOW_HELP: Final = """
Show an execution: its state, what it waits for and why, who holds it, its input and output.

\b
    octoqueue workflows show order-17
    octoqueue workflows show order-17 --json | jq .waits
"""
_HISTORY_HELP: Final = """
Show what an execution did, step by step, in the order of its program.

\b
    octoqueue workflows history order-17
    octoqueue workflows history order-17 --json | jq '.steps[] | {key, name, status}'
    octoqueue workflows history order-17 --output order-17.json

With --output the history is written into a file that 'octoqueue workflows replay' and tests take.
"""

IdArgument = steering.IdArgument


@app.callback()
def _group() -> None:
    """See what durable workflows do, signal and cancel them, begin failed ones again."""


@app.command(name="list", help=_LIST_HELP)
def list_(
    context: typer.Context,
    *,
    status: Annotated[
        str | None,
        typer.Option(metavar="STATUS", help="Only those that are queued, running, failed, …"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those of this workflow function.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those on behalf of this tenant.")
    ] = None,
    workflow_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Only the executions of this workflow.")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those older than this execution.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List executions of workflows."""
    try:
        which = filter_from(
            status=status, name=name, tenant=tenant, workflow_id=workflow_id, before=before
        )
    except InvalidMessage as wrong:
        raise typer.BadParameter(f"--{wrong}", ctx=context) from None

    async def read(store: WorkflowStore) -> list[Execution]:
        return await store.executions(which, limit=limit)

    with failures(as_json=as_json):
        executions = run_async(_with_store(Settings.load(config), read))
    if as_json:
        print_json(list_document(executions))
        return
    if not executions:
        say("No execution." if which == Filter() else "No execution is like that.")
        return
    print_executions(executions, now_ms=SystemClock().now_ms())
    if len(executions) == limit:
        say(f"There may be more: --before {executions[-1].execution_id} shows older ones.")


@app.command(help=_SHOW_HELP)
def show(
    ident: IdArgument,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show an execution."""

    async def look(store: WorkflowStore) -> Sight:
        return await sight_of(store, ident)

    with failures(as_json=as_json):
        sight = run_async(_with_store(Settings.load(config), look))
    if as_json:
        print_json(sight_document(sight))
        return
    print_sight(sight, now_ms=SystemClock().now_ms())
    for name in signals_waited_for(sight.loaded):
        say(f"\nIt goes on after: octoqueue workflows signal {ident} {name} JSON")


@app.command(help=_HISTORY_HELP)
def history(
    ident: IdArgument,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write it there, as JSON.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what an execution did."""

    async def read(store: WorkflowStore) -> Loaded:
        return await find_history(store, ident)

    with failures(as_json=as_json):
        loaded = run_async(_with_store(Settings.load(config), read))
    if output is not None:
        try:
            output.write_bytes(history_json(loaded))
        except OSError as error:
            complain(f"{output} cannot be written: {error.strerror}")
            raise typer.Exit(2) from None
        return
    if as_json:
        print_json(history_document(loaded))
    else:
        print_history(loaded, now_ms=SystemClock().now_ms())


app.command(name="start", help=code.START_HELP)(code.start)
app.command(name="signal", help=steering.SIGNAL_HELP)(steering.signal)
app.command(name="cancel", help=steering.CANCEL_HELP)(steering.cancel)
app.command(name="retry-from", help=steering.RETRY_HELP)(steering.retry_from)
app.command(name="replay", help=code.REPLAY_HELP)(code.replay)


async def _with_store(settings: Settings, act: Callable[[WorkflowStore], Awaitable[T]]) -> T:
    async with opened_workflows(settings) as store:
        return await act(store)
