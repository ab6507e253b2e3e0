"""`octoqueue schedule`: what periodic actors do next, and running one by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from octoqueue.broker.default import default_broker
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.schedules import Periodic
from octoqueue.cli.modules import import_modules
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    complain,
    failures,
    print_json,
    print_table,
    run_async,
)
from octoqueue.cli.reading import store_of, with_redis
from octoqueue.errors import ModuleUnusable, ScheduleUnknown, StoreUnavailable
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.cron import Cron
from octoqueue.primitives.schedules import LastTick
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Show the schedules of periodic actors: when each fires next, and when it last did.

\b
    octoqueue schedule
    octoqueue schedule --module my_app.actors --next 5
    octoqueue schedule --json | jq '.[] | {schedule, next}'
    octoqueue schedule fire nightly

The modules that declare the actors are imported; without --module, those of the configured fleets.
"""
_FIRE_HELP: Final = """
Enqueue the message of a schedule now, beside its ticks.

\b
    octoqueue schedule fire nightly --module my_app.actors

What the schedule does by itself does not change. The actor finds this moment as its scheduled_for.
"""

ModulesOption = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", metavar="MODULE", help="Declares periodic actors."),
]


@app.callback(invoke_without_command=True, help=_HELP)
def schedule(
    context: typer.Context,
    *,
    modules: ModulesOption = None,
    runs: Annotated[
        int, typer.Option("--next", "-n", min=1, max=100, metavar="N", help="Show the next N runs.")
    ] = 1,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the schedules of periodic actors."""
    if context.invoked_subcommand is not None:
        return
    with failures(as_json=as_json):
        settings = Settings.load(config)
        broker = _declaring(settings, modules or ())
        documents, is_known = run_async(_read(settings, broker, runs))
    if as_json:
        print_json(documents)
    elif documents:
        _print_table(documents, never="never" if is_known else "unknown")
    else:
        answers().print("No actor here is periodic.")


@app.command(help=_FIRE_HELP)
def fire(
    name: Annotated[
        str, typer.Argument(metavar="SCHEDULE", help="The schedule.", show_default=False)
    ],
    *,
    modules: ModulesOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Enqueue the message of a schedule now."""
    with failures(as_json=as_json):
        settings = Settings.load(config)
        broker = _declaring(settings, modules or ())
        periodic = broker.schedules.find(name)
        if periodic is None:
            raise ScheduleUnknown(name, known=[each.schedule.name for each in broker.schedules])
        sent = run_async(_fire(settings, broker, periodic))
    if as_json:
        print_json(sent)
    else:
        answers().print(sent["message_id"], markup=False, soft_wrap=True)


def _declaring(settings: Settings, modules: Sequence[str]) -> LaneBroker:
    """Return the broker on which the modules declare their actors.

    Raises:
        ModuleUnusable: none is named or configured, or one cannot be imported.
    """
    fleets = settings.fleets.values()
    names = modules or list(dict.fromkeys(name for fleet in fleets for name in fleet.modules))
    if not names:
        raise ModuleUnusable(
            "no module", "is configured for a fleet: name one that declares actors with --module"
        )
    import_modules(names)
    return default_broker()


async def _read(
    settings: Settings, broker: LaneBroker, runs: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return the schedules, and whether the store has said when they last fired."""
    is_known, stands = True, dict[str, LastTick]()
    try:
        async with store_of(settings) as store:
            for each in broker.schedules:
                schedule_ = each.schedule
                stands[schedule_.name] = await store.last_tick(
                    schedule_.name, schedule_.ticks.digest, begins=False
                )
    except StoreUnavailable as gone:
        is_known = False
        complain(f"when schedules last fired is unknown: {gone}")
    unknown = LastTick(None, None, SystemClock().now_ms())
    documents = [
        _document(each, stands.get(each.schedule.name, unknown), runs) for each in broker.schedules
    ]
    return documents, is_known


async def _fire(settings: Settings, broker: LaneBroker, periodic: Periodic) -> dict[str, Any]:
    async with broker.connected(await with_redis(settings)):
        now_ms = await broker.store().now_ms()
        handle = await broker.aenqueue(periodic.message(now_ms))
    return {
        "message_id": handle.message_id,
        "schedule": periodic.schedule.name,
        "actor": periodic.actor,
        "queue": periodic.queue,
        "scheduled_for": _iso(now_ms, UTC),
    }


def _document(periodic: Periodic, stands: LastTick, runs: int) -> dict[str, Any]:
    """Return what a machine is told of a schedule; its runs in its own zone."""
    schedule_ = periodic.schedule
    ticks = schedule_.ticks
    tz = ticks.tz if isinstance(ticks, Cron) else "UTC"
    after_ms = max(stands.last_ms or 0, stands.now_ms)
    return {
        "schedule": schedule_.name,
        "actor": periodic.actor,
        "queue": periodic.queue,
        "when": str(ticks),
        "tz": tz,
        "missed": schedule_.missed.value,
        "next": [_iso(tick, ZoneInfo(tz)) for tick in islice(ticks.after(after_ms), runs)],
        "last_fired": None if stands.fired_ms is None else _iso(stands.fired_ms, ZoneInfo(tz)),
    }


def _iso(moment_ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, tz=zone).isoformat(timespec="seconds")


def _print_table(documents: Sequence[dict[str, Any]], *, never: str) -> None:
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("schedule", "actor", "queue", "when", "zone", "next", "last fired", "missed"):
        table.add_column(header, no_wrap=header in {"when", "next", "last fired"})
    for each in documents:
        table.add_row(
            Text(each["schedule"]),
            Text(each["actor"]),
            each["queue"],
            Text(each["when"]),
            each["tz"],
            "\n".join(_shown(moment) for moment in each["next"]) or "never",
            never if each["last_fired"] is None else _shown(each["last_fired"]),
            each["missed"],
        )
    print_table(table)


def _shown(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S %z")
