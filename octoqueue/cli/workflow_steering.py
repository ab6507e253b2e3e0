"""`octoqueue workflows signal`, `cancel` and `retry-from`: what changes an execution.

The row is what counts. The letter behind it only makes the orchestrator look at once: where it
cannot be sent, the orchestrator finds the row by itself within seconds, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import orjson
import typer

from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    complain,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.workflow_desk import fleet_modules, nudged, opened_workflows
from octoqueue.cli.workflow_views import say
from octoqueue.errors import ModuleUnusable
from octoqueue.primitives.body_json import json_from
from octoqueue.primitives.clock import SystemClock
from octoqueue.settings.root import Settings
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.finding import find_execution
from octoqueue.workflows.journal import Signal
from octoqueue.workflows.signals import cancel_for, signal_from_json

SIGNAL_HELP: Final = """
Send a signal with a value to the newest execution of a workflow.

\b
    octoqueue workflows signal order-17 approve true
    octoqueue workflows signal order-17 approve '{"by": "ada", "limit": 500}'

The value is JSON, and is checked against the type that the code declares: the modules named are \
imported, without --module those of the configured fleets. Where there is none of them here, the \
orchestrator refuses a wrong value. A workflow that declares its signals refuses all others; one \
that does not keeps any until it asks for it. 'octoqueue workflows show' says what it waits for.
"""
CANCEL_HELP: Final = """
Ask a workflow to end: its running steps are stopped, then its compensations run.

\b
    octoqueue workflows cancel order-17 --reason "ordered twice"
"""
RETRY_HELP: Final = """
Begin a failed or cancelled execution again, as if all before a step had just been done.

\b
    octoqueue workflows retry-from order-17 4

What ended before the step did is kept with its results; the step and the rest are done anew, by \
the code of now. 'octoqueue workflows history' shows the keys of steps.
"""

IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="Of a workflow, or of one of its executions.", show_default=False
    ),
]


def signal(
    context: typer.Context,
    ident: IdArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)
    ],
    value: Annotated[
        str, typer.Argument(metavar="JSON", help="Its value.", show_default=False)
    ] = "null",
    *,
    modules: Annotated[
        list[str] | None,
        typer.Option("--module", "-m", metavar="MODULE", help="Declares the workflow."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send a signal to a workflow."""
    text = json_text(context, "the value", value)

    with failures(as_json=as_json):
        settings = Settings.load(config)
        _import(modules, settings)

        def make(execution: Execution) -> Signal:
            return signal_from_json(
                execution,
                name,
                text,
                now_ms=SystemClock().now_ms(),
                limit_bytes=settings.workflows.max_value_bytes,
            )

        told = run_async(_send(settings, ident, make))
    _tell(told, f"Signal {name} was sent to workflow {told['workflow_id']}.", as_json=as_json)


def cancel(
    ident: IdArgument,
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept, and told to whoever waits for its result.")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask a workflow to end."""

    def make(_: Execution) -> Signal:
        return cancel_for(reason, now_ms=SystemClock().now_ms())

    with failures(as_json=as_json):
        told = run_async(_send(Settings.load(config), ident, make))
    _tell(told, f"Workflow {told['workflow_id']} was asked to end.", as_json=as_json)


def retry_from(
    ident: IdArgument,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="The key of the step.", show_default=False)
    ],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Begin a failed execution again from a step."""

    async def begin(settings: Settings) -> dict[str, Any]:
        async with opened_workflows(settings) as store:
            failed = await find_execution(store, ident)
            execution = await store.retry_from(failed.execution_id, step)
        told = _document(execution, why_not=await nudged(settings, execution))
        return told | {"run": execution.run, "retried_execution_id": failed.execution_id}

    with failures(as_json=as_json):
        told = run_async(begin(Settings.load(config)))
    sentence = (
        f"Workflow {told['workflow_id']} begins again at step {step}: "
        f"execution {told['execution_id']}, run {told['run']}."
    )
    _tell(told, sentence, as_json=as_json)


def json_text(context: typer.Context, what: str, text: str) -> bytes:
    """Return JSON of a command line as workflows keep it."""
    try:
        return json_from(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(
            f"{what} is no JSON: {error}; text is JSON with its quotes: '\"yes\"'", ctx=context
        ) from None


def _import(modules: Sequence[str] | None, settings: Settings) -> None:
    """Import what declares the workflow.

    Raises:
        ModuleUnusable: a module that was named cannot be imported.
    """
    if modules:
        import_modules(modules)
        return
    with suppress(ModuleUnusable):  # whoever looks after workflows need not have their code
        import_modules(fleet_modules(settings))


async def _send(
    settings: Settings, ident: str, make: Callable[[Execution], Signal]
) -> dict[str, Any]:
    async with opened_workflows(settings) as store:
        wanted = await find_execution(store, ident)
        sent = make(wanted)
        execution = await store.signal(wanted.workflow_id, sent)
    told = _document(execution, why_not=await nudged(settings, execution))
    return told | {"signal_id": sent.signal_id}


def _document(execution: Execution, *, why_not: str | None) -> dict[str, Any]:
    return {
        "workflow_id": execution.workflow_id,
        "execution_id": execution.execution_id,
        "nudged": why_not is None,
        "nudge_error": why_not,
    }


def _tell(told: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    say(sentence)
    if told["nudge_error"] is not None:
        complain(f"its orchestrator sees it some seconds later: {told['nudge_error']}")
