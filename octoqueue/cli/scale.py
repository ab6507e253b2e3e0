"""`octoqueue scale`: say by hand how many workers a fleet has for a while; ask why it has them."""

from __future__ import annotations

import getpass
import socket
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from octoqueue.cli.moments import local, moment
from octoqueue.cli.output import (
    ConfigOption,
    JsonOption,
    answers,
    failures,
    print_json,
    run_async,
)
from octoqueue.cli.reading import with_redis
from octoqueue.cli.scale_views import Explained, document, show
from octoqueue.errors import ConfigError
from octoqueue.fleet.opening import Deciding, opened_decider
from octoqueue.scaling.override import LONGEST, MOST_WORKERS, SHORTEST, Override
from octoqueue.scaling.policy import ScalingPolicy
from octoqueue.settings.quantities import parse_duration
from octoqueue.settings.root import Settings

app = typer.Typer(add_completion=False)

_HELP: Final = """
Say by hand how many workers a fleet has for a while, or ask why it has as many as it has.

\b
    octoqueue scale executor 4 --for 1h
    octoqueue scale executor 40 --for 30m --beyond-max
    octoqueue scale executor --clear
    octoqueue scale --explain
    octoqueue scale executor --explain --json

What is said by hand replaces what is demanded, wherever the fleet runs, until its time is over by \
the clock of Redis. Workers that would lose much work stay all the same.
"""


@app.command(help=_HELP)
def scale(
    fleet: Annotated[
        str | None, typer.Argument(metavar="FLEET", help="The fleet.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Argument(
            metavar="WORKERS", min=0, max=MOST_WORKERS, help="Workers it has.", show_default=False
        ),
    ] = None,
    *,
    lasting: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="DURATION", help="For how long, as 30m or 1h.", show_default=False
        ),
    ] = None,
    beyond_max: Annotated[
        bool, typer.Option("--beyond-max", help="Let it exceed the fleet's maximum.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="End what was said by hand.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what is decided, and every step to it.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say by hand how many workers a fleet has for a while; ask why it has as many as it has."""
    if explain:
        _refuse(workers is not None or lasting is not None or beyond_max or clear, "--explain")
        with failures(as_json=as_json):
            explained = run_async(_explained(Settings.load(config), fleet))
        if as_json:
            print_json([document(one) for one in explained])
        else:
            show(explained)
        return
    if fleet is None:
        raise typer.BadParameter("name a fleet, or ask for --explain")
    if clear:
        _refuse(workers is not None or lasting is not None or beyond_max, "--clear")
        with failures(as_json=as_json):
            was_there = run_async(_cleared(Settings.load(config), fleet))
        _tell_cleared(fleet, was_there=was_there, as_json=as_json)
        return
    if workers is None or lasting is None:
        raise typer.BadParameter(f"say how many and for how long: scale {fleet} 4 --for 1h")
    span = _duration(lasting)
    with failures(as_json=as_json):
        override, policy = run_async(
            _overridden(Settings.load(config), fleet, workers, span, beyond_max=beyond_max)
        )
    _tell(fleet, override, policy, as_json=as_json)


def _refuse(given: bool, option: str) -> None:
    if given:
        raise typer.BadParameter(f"{option} goes with nothing but a fleet")


def _duration(text: str) -> timedelta:
    try:
        span = parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--for: {error}") from None
    if not SHORTEST <= span <= LONGEST:
        raise typer.BadParameter("--for: must be at least 1ms and at most 90d")
    return span


async def _overridden(
    settings: Settings, fleet: str, workers: int, span: timedelta, *, beyond_max: bool
) -> tuple[Override, ScalingPolicy]:
    async with opened_decider(await with_redis(settings), remembers=False) as deciding:
        policy = deciding.decider.policy_of(fleet)
        override = await deciding.memory.set_override(
            fleet, workers, lasting=span, said_by=_somebody(), beyond_max=beyond_max
        )
        return override, policy


async def _cleared(settings: Settings, fleet: str) -> bool:
    async with opened_decider(await with_redis(settings), remembers=False) as deciding:
        deciding.decider.policy_of(fleet)
        return await deciding.memory.clear_override(fleet)


async def _explained(settings: Settings, fleet: str | None) -> list[Explained]:
    if fleet is None and not settings.fleets and settings.http.app is None:
        raise ConfigError("fleets: there are none to explain", key="fleets")
    async with opened_decider(
        await with_redis(settings), hold=timedelta(0), remembers=False
    ) as deciding:
        fleets = [fleet] if fleet is not None else sorted(deciding.decider.policies)
        return [await _explain(deciding, name) for name in fleets]


async def _explain(deciding: Deciding, fleet: str) -> Explained:
    look = await deciding.decider.look(fleet)
    recent = await deciding.memory.recent(fleet, limit=5)
    return Explained(look=look, policy=deciding.decider.policy_of(fleet), recent=recent)


def _somebody() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return socket.gethostname()


def _tell(fleet: str, override: Override, policy: ScalingPolicy, *, as_json: bool) -> None:
    bounded = override.workers > policy.max_workers and not override.beyond_max
    until = moment(override.until_ms)
    if as_json:
        told: dict[str, Any] = {
            "fleet": fleet,
            "workers": override.workers,
            "until": until,
            "said_by": override.said_by,
            "beyond_max": override.beyond_max,
            "max_workers": policy.max_workers,
        }
        print_json(told)
        return
    bound = (
        f" It may have {policy.max_workers} at most; --beyond-max lets it have more."
        if bounded
        else ""
    )
    sentence = f"Fleet {fleet} has {_workers(override.workers)} until {local(until)}.{bound}"
    answers().print(sentence, markup=False, soft_wrap=True)


def _tell_cleared(fleet: str, *, was_there: bool, as_json: bool) -> None:
    if as_json:
        print_json({"fleet": fleet, "cleared": was_there})
        return
    sentence = (
        f"Fleet {fleet} has what is demanded again."
        if was_there
        else f"Nothing was said by hand of fleet {fleet}."
    )
    answers().print(sentence, markup=False, soft_wrap=True)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
