"""`octoqueue scale`: say by hand how many workers a fleet has for a while; ask why it has them."""

from __future__ import annotations

import asyncio
import getpass
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

import typer

from octoqueue.cli.moments import local, moment
from octoqueue.cli.output import (
    REFUSED,
    ConfigOption,
    JsonOption,
    answers,
    failures,
    print_json,
    report,
    run_async,
)
from octoqueue.cli.reading import with_redis
from octoqueue.cli.scale_views import Explained, document, show
from octoqueue.errors import ConfigError, OctoqueueError, SignalsUnreadable, StoreError
from octoqueue.fleet.opening import Deciding, opened_decider
from octoqueue.scaling.decision import Decision
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What was said by hand, and what is decided since."""

    policy: ScalingPolicy
    override: Override
    decision: Decision | None
    """None when the signals cannot be read: what was said counts all the same."""


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
            explained, unread = run_async(_explained(Settings.load(config), fleet))
        if as_json:
            print_json([document(one) for one in explained])
        else:
            show(explained)
        for error in unread:
            report(error, as_json=as_json)
        if unread:
            raise typer.Exit(REFUSED)
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
        said = run_async(
            _overridden(Settings.load(config), fleet, workers, span, beyond_max=beyond_max)
        )
    _tell(said, as_json=as_json)


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
) -> _Said:
    async with opened_decider(
        await with_redis(settings), hold=timedelta(0), remembers=False
    ) as deciding:
        policy = deciding.decider.policy_of(fleet)
        override = await deciding.memory.set_override(
            fleet, workers, lasting=span, said_by=_somebody(), beyond_max=beyond_max
        )
        decision = None
        with suppress(SignalsUnreadable):
            decision = await deciding.decider.decide(fleet)
        return _Said(policy=policy, override=override, decision=decision)


async def _cleared(settings: Settings, fleet: str) -> bool:
    async with opened_decider(await with_redis(settings), remembers=False) as deciding:
        deciding.decider.policy_of(fleet)
        return await deciding.memory.clear_override(fleet)


async def _explained(
    settings: Settings, fleet: str | None
) -> tuple[list[Explained], list[OctoqueueError]]:
    """Return what can be explained, and why the rest cannot; raises when nothing can."""
    if fleet is None and not settings.fleets and settings.http.app is None:
        raise ConfigError("fleets: there are none to explain", key="fleets")
    async with opened_decider(
        await with_redis(settings), hold=timedelta(0), remembers=False
    ) as deciding:
        fleets = [fleet] if fleet is not None else sorted(deciding.decider.policies)
        looked = await asyncio.gather(
            *(_explain(deciding, name) for name in fleets), return_exceptions=True
        )
    explained = [one for one in looked if isinstance(one, Explained)]
    failed = [one for one in looked if isinstance(one, BaseException)]
    unread = [one for one in failed if isinstance(one, SignalsUnreadable | StoreError)]
    if failed and (not explained or len(unread) < len(failed)):
        raise failed[0]
    return explained, list[OctoqueueError](unread)


async def _explain(deciding: Deciding, fleet: str) -> Explained:
    look = await deciding.decider.look(fleet)
    recent = await deciding.memory.recent(fleet, limit=5)
    return Explained(look=look, policy=deciding.decider.policy_of(fleet), recent=recent)


def _somebody() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return socket.gethostname()


def _tell(said: _Said, *, as_json: bool) -> None:
    policy, override, decision = said.policy, said.override, said.decision
    fleet = policy.fleet
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
            "wanted": None if decision is None else decision.workers,
        }
        print_json(told)
        return
    bound = (
        f" It may have {policy.max_workers} at most; --beyond-max lets it have more."
        if bounded
        else ""
    )
    expected = policy.max_workers if bounded else override.workers
    if decision is not None and decision.workers != expected:
        (why,) = [step.reason for step in decision.steps if step.is_decisive]
        bound += f" It has {decision.workers} for now: {why}."
    sentence = f"Fleet {fleet} is to have {_workers(override.workers)} until {local(until)}.{bound}"
    answers().print(sentence, markup=False, soft_wrap=True)


def _tell_cleared(fleet: str, *, was_there: bool, as_json: bool) -> None:
    if as_json:
        print_json({"fleet": fleet, "cleared": was_there})
        return
    sentence = (
        f"Fleet {fleet} is to have what is demanded again."
        if was_there
        else f"Nothing was said by hand of fleet {fleet}."
    )
    answers().print(sentence, markup=False, soft_wrap=True)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
