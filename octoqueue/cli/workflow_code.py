"""`octoqueue workflows start` and `replay`: what needs the code of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from octoqueue.broker.default import default_broker
from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import (
    NOT_THERE,
    ConfigOption,
    JsonOption,
    answers,
    complain,
    failures,
    print_json,
    report,
    run_async,
)
from octoqueue.cli.reading import with_redis
from octoqueue.cli.workflow_desk import fleet_modules, opened_workflows
from octoqueue.cli.workflow_steering import json_text
from octoqueue.cli.workflow_views import say
from octoqueue.errors import HistoryUnreadable, ModuleUnusable, WorkflowChanged
from octoqueue.producer.workflow_client import StartWish, WorkflowClient
from octoqueue.settings.root import Settings
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.exports import history_from
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.protocol import Loaded, Started
from octoqueue.workflows.replaying import replay_history

START_HELP: Final = """
Start a workflow and print its id.

\b
    octoqueue workflows start order '{"item": "tea", "price": 5}' --module my_app.workflows
    octoqueue workflows start order '{"item": "tea", "price": 5}' --id order-17

The module that declares the workflow is imported, so that its input is checked and its options \
hold; without --module, those of the configured fleets are. With --id the same start again changes \
nothing.
"""
REPLAY_HELP: Final = """
Check that the code of now does what a history says it did.

\b
    octoqueue workflows history order-17 --output order-17.json
    octoqueue workflows replay order-17.json my_app.workflows

Nothing is run and nothing is written: the workflow function is given what its steps gave then. \
When it does something else, the step is named and the exit code is 1. Before a deploy this tells \
whether executions that are under way can go on.
"""

ModulesOption = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", metavar="MODULE", help="Declares the workflow."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    name: str
    text: bytes
    options: StartWish


def start(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The workflow function's.", show_default=False)
    ],
    value: Annotated[
        str, typer.Argument(metavar="JSON", help="Its input.", show_default=False)
    ] = "null",
    *,
    modules: ModulesOption = None,
    ident: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="What it is to be called.")
    ] = None,
    lane: Annotated[
        str | None,
        typer.Option(metavar="LANE", help="high, normal or low (default: the workflow's)."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="On whose behalf.")] = None,
    complexity: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="low, medium or high (default: the workflow's)."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start a workflow."""
    wish = _Wish(
        name=name,
        text=json_text(context, "the input", value),
        options=StartWish(id=ident, lane=lane, tenant=tenant, complexity=complexity),
    )
    with failures(as_json=as_json):
        settings = Settings.load(config)
        import_modules(modules or _modules_for(settings, name))
        started = run_async(_start(settings, wish))
    execution = started.execution
    if as_json:
        print_json(
            {
                "workflow_id": execution.workflow_id,
                "execution_id": execution.execution_id,
                "status": execution.status.value,
                "is_new": started.is_new,
            }
        )
        return
    answers().print(execution.workflow_id, markup=False, soft_wrap=True)
    if not started.is_new:
        complain(f"nothing was started: it was started before and is {execution.status.value}")


def replay(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An exported history.", show_default=False)
    ],
    modules: Annotated[
        list[str],
        typer.Argument(metavar="MODULE", help="Declares the workflow.", show_default=False),
    ],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check that the code of now does what a history says it did."""
    with failures(as_json=as_json):
        settings = Settings.load(config)
        loaded = _history_in(file)
        import_modules(modules)
        try:
            replay_history(loaded, limits=_limits(settings))
        except WorkflowChanged as changed:
            report(changed, as_json=as_json)
            raise typer.Exit(NOT_THERE) from None
    told = _replayed(loaded)
    if as_json:
        print_json(told)
        return
    say(
        f"OK: {told['name']} does what execution {told['execution_id']} of workflow "
        f"{told['workflow_id']} did, {_extent(told)}."
    )


def _replayed(loaded: Loaded) -> dict[str, Any]:
    execution = loaded.execution
    return {
        "workflow_id": execution.workflow_id,
        "execution_id": execution.execution_id,
        "name": execution.name,
        "version": execution.version,
        "status": execution.status.value,
        "steps": len(loaded.steps),
        "fits": True,
    }


def _extent(told: dict[str, Any]) -> str:
    steps: int = told["steps"]
    if steps == 1:
        return "its only step"
    return f"all of its {steps:,} steps" if steps else "which has begun no step"


def _history_in(file: Path) -> Loaded:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise HistoryUnreadable(str(file), f"cannot be read: {error.strerror}") from None
    return history_from(text)


def _limits(settings: Settings) -> Limits:
    rules = settings.workflows
    return Limits(
        max_value_bytes=rules.max_value_bytes,
        over_limit=rules.over_limit,
        max_steps=rules.max_steps,
    )


async def _start(settings: Settings, wish: _Wish) -> Started:
    definition = DEFINITIONS.get(wish.name)
    value = definition.input_of(wish.text, workflow_id=wish.options.id or "")
    settings = await with_redis(settings)
    async with (
        default_broker().connected(settings) as broker,
        opened_workflows(settings) as store,
    ):
        client = WorkflowClient(store, broker, settings=settings)
        return await client.start(definition, value, wish.options)


def _modules_for(settings: Settings, name: str) -> Sequence[str]:
    """Return the modules of the configured fleets.

    Raises:
        ModuleUnusable: there are none.
    """
    found = fleet_modules(settings)
    if not found:
        raise ModuleUnusable(
            f"workflow {name!r}",
            "is declared by no fleet of the configuration: name its module with --module",
        )
    return found
