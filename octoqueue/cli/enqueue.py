"""`octoqueue enqueue`: send one message, as a program would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

import orjson
import typer

from octoqueue.broker.by_name import message_elsewhere, message_to
from octoqueue.broker.default import default_broker
from octoqueue.broker.handles import MessageHandle
from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    complain,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.reading import with_redis
from octoqueue.errors import ModuleUnusable
from octoqueue.settings.quantities import parse_duration
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Send a message to an actor and print its id.

\b
    octoqueue enqueue plan --module my_app.actors --args '["write a poem"]'
    octoqueue enqueue plan --kwargs '{"goal": "a poem"}' --lane high --delay 5m
    octoqueue enqueue plan --queue planner --args '[1]'

The module that declares the actor is imported, so that its options hold and its arguments are \
checked; without --module, those of the configured fleets are. With --queue nothing is imported \
and nothing is checked.
"""


@dataclass(slots=True, kw_only=True)
class _Wish:
    """What is to be sent."""

    actor: str
    queue: str | None
    args: list[Any]
    kwargs: dict[str, Any]
    delay: timedelta
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@app.command(help=_HELP)
def enqueue(
    context: typer.Context,
    actor: Annotated[
        str, typer.Argument(metavar="ACTOR", help="The actor's name.", show_default=False)
    ],
    *,
    args: Annotated[
        str, typer.Option(metavar="JSON", help="Positional arguments: a JSON array.")
    ] = "[]",
    kwargs: Annotated[
        str, typer.Option(metavar="JSON", help="Named arguments: a JSON object.")
    ] = "{}",
    lane: Annotated[
        str | None,
        typer.Option(metavar="LANE", help="high, normal or low (default: the actor's)."),
    ] = None,
    delay: Annotated[
        str, typer.Option(metavar="TIME", help="How long it waits first: 10s, 5m, 1h30m.")
    ] = "0s",
    tenant: Annotated[str | None, typer.Option(metavar="NAME", help="On whose behalf.")] = None,
    unique: Annotated[str | None, typer.Option(metavar="KEY", help="Its unique key.")] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option("--module", "-m", metavar="MODULE", help="Declares the actor."),
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Of an actor that is not declared here.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Send a message to an actor."""
    if queue is not None and modules:
        raise typer.BadParameter("name the module or the queue, not both", ctx=context)
    wish = _Wish(
        actor=actor,
        queue=queue,
        args=_json_of(context, "--args", args, list),
        kwargs=_json_of(context, "--kwargs", kwargs, dict),
        delay=_delay_from(context, delay),
    )
    named = {"lane": lane, "tenant": tenant, "unique": unique}
    wish.options = {name: value for name, value in named.items() if value is not None}
    with failures(as_json=as_json):
        sent = _send(Settings.load(config), wish, modules or [])
    if as_json:
        print_json(sent)
    else:
        answers().print(sent["message_id"], markup=False, soft_wrap=True)
        if sent["duplicate"]:
            complain("nothing was sent: this message has its unique key")


def _send(settings: Settings, wish: _Wish, modules: Sequence[str]) -> dict[str, Any]:
    broker = default_broker()
    what: dict[str, Any] = {"args": wish.args, "kwargs": wish.kwargs, "options": wish.options}
    if wish.queue is not None:
        message = message_elsewhere(wish.actor, wish.queue, **what)
    else:
        import_modules(modules or _fleet_modules(settings, wish.actor))
        broker = default_broker()  # a module may have chosen another
        message = message_to(broker, wish.actor, **what)

    async def enqueue() -> MessageHandle[Any]:
        async with broker.connected(await with_redis(settings)):
            return await broker.aenqueue(message, delay=wish.delay)

    handle = run_async(enqueue())
    return {
        "message_id": handle.message_id,
        "actor": handle.actor_name,
        "queue": handle.queue_name,
        "duplicate": handle.duplicate,
    }


def _fleet_modules(settings: Settings, actor: str) -> list[str]:
    """Return the modules of the configured fleets.

    Raises:
        ModuleUnusable: there are none.
    """
    found = {module: None for fleet in settings.fleets.values() for module in fleet.modules}
    if not found:
        raise ModuleUnusable(
            f"actor {actor!r}",
            "is declared by no fleet of the configuration: name its module with --module, "
            "or its queue with --queue",
        )
    return list(found)


def _json_of(context: typer.Context, option: str, text: str, kind: type[Any]) -> Any:  # noqa: ANN401 - JSON
    name = "array" if kind is list else "object"
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(
            f"{option}: no JSON {name}: {error}; quote it for the shell: '…'", ctx=context
        ) from None
    if not isinstance(value, kind):
        raise typer.BadParameter(f"{option}: {text} is no JSON {name}", ctx=context)
    return value


def _delay_from(context: typer.Context, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as wrong:
        raise typer.BadParameter(f"--delay: {text!r} {wrong}", ctx=context) from None
