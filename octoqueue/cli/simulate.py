"""`octoqueue simulate`: what a scaling policy would have been worth on a recorded trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from octoqueue.cli.output import JsonOption, end_without_numpy, failures
from octoqueue.cli.simulate_choices import Choices
from octoqueue.settings.quantities import parse_duration

app = typer.Typer(add_completion=False)

_MOST: Final = 1_000_000
"""Of any number; what is more is a slip, or infinite."""

_HPA_SYNC_SECONDS: Final = 15.0
_AGENT_SYNC_SECONDS: Final = 5.0

_HELP: Final = """
Replay a trace through a scaling policy in virtual time: no server is needed, and a week of \
minutes takes seconds.

\b
    octoqueue simulate --trace week.csv --policy octoqueue.yaml --fleet coder --mean-load 10
    octoqueue simulate --trace week.csv --policy new.yaml --against old.yaml --service 30s
    octoqueue simulate --trace week.csv --policy new.yaml --against depth=10 --plot week.png
    octoqueue simulate --trace week.csv --policy new.yaml --mean-load 10 \\
        --require 'attainment>=99.5%' --require 'worker-hours<=1.1x'

A trace is a CSV of 'period,count' a minute, a CSV of 'TIMESTAMP,ContextTokens,GeneratedTokens' a \
request, or what 'octoqueue record' wrote. A policy is a configuration file, or a file with the \
text of one fleet's section 'scaling'. Instead of a file, a rule to compare with: static=15, \
depth=10, cpu=70%, max=3,1.1,1 (largest load of 3 minutes x 1.1 + 1) or clairvoyant.

A minute is met when none of its work waits longer than the objective. Worker-hours count workers \
from the moment they are asked for; 1x is what perfect knowledge would have paid: the load of each \
minute and one worker, rounded up. Exit code 3: a --require was not kept.
"""


def _seconds(text: str | float) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}") from None


@app.command(help=_HELP)
def simulate(
    *,
    trace: Annotated[Path, typer.Option(metavar="FILE", help="What arrived, and when.")],
    policy: Annotated[str, typer.Option(metavar="FILE|RULE", help="What decides.")],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|RULE", help="To compare with; again for more."),
    ] = None,
    fleet: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which fleet of the files.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="fluid|messages",
            help="Work as a flow, or message by message (default: a flow for counts a minute).",
        ),
    ] = None,
    mean_load: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=_MOST, metavar="WORKERS", help="Scale so that so many are busy."
        ),
    ] = None,
    service: Annotated[
        float | None,
        typer.Option(
            parser=_seconds,
            metavar="DURATION",
            help="How long a message runs (default: as the trace or the policy says, or what "
            "makes --mean-load).",
        ),
    ] = None,
    service_cv2: Annotated[
        float | None,
        typer.Option(
            "--service-cv2",
            min=0,
            max=_MOST,
            help="Its squared variation: 0 constant, 1 exponential, more heavy-tailed "
            "(default: the trace's, else 1).",
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Messages a worker runs at a time (default: the policy's)."),
    ] = None,
    start_up: Annotated[
        float | None,
        typer.Option(
            parser=_seconds,
            metavar="DURATION",
            help="Until a new worker claims (default: the policy's).",
        ),
    ] = None,
    start_up_cv2: Annotated[
        float, typer.Option("--start-up-cv2", min=0, max=_MOST, help="Its squared variation.")
    ] = 0.0,
    objective: Annotated[
        float | None,
        typer.Option(
            parser=_seconds,
            metavar="DURATION",
            help="How long work may wait (default: the policy's tightest objective, else 5s).",
        ),
    ] = None,
    hpa: Annotated[
        bool, typer.Option("--hpa/--agent", help="Sized by KEDA and an HPA, or by the agent.")
    ] = True,
    sync: Annotated[
        float | None,
        typer.Option(
            parser=_seconds,
            metavar="DURATION",
            help="Between two decisions (default: 15s, of the agent 5s).",
        ),
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast/--no-forecast", help="Whether policies are given forecasts.")
    ] = True,
    worker_failures: Annotated[
        float,
        typer.Option("--failures", min=0, max=3_600, help="How often a worker dies, an hour."),
    ] = 0.0,
    lease: Annotated[
        float, typer.Option(parser=_seconds, metavar="DURATION", help="Until that is noticed.")
    ] = 60.0,
    outage: Annotated[
        list[str] | None,
        typer.Option(metavar="AT/DURATION", help="No signals can be read then, e.g. 2h/5m."),
    ] = None,
    context_token: Annotated[
        float | None,
        typer.Option(
            parser=_seconds, metavar="DURATION", help="Service time of one (default: 0.25ms)."
        ),
    ] = None,
    generated_token: Annotated[
        float | None,
        typer.Option(
            parser=_seconds, metavar="DURATION", help="Service time of one (default: 20ms)."
        ),
    ] = None,
    cost: Annotated[
        float | None,
        typer.Option(min=0, max=_MOST, help="Of a worker-hour (default: the policy's)."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all chance.")] = 0,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="BOUND", help="What the policy must keep: attainment>=99.5%."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw load, workers and waits: .png or .svg."),
    ] = None,
    decisions: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show the last N changes and their reasons.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Replay a trace through a scaling policy in virtual time."""
    try:
        from octoqueue.cli.simulate_run import run  # noqa: PLC0415 - stands on numpy
    except ModuleNotFoundError as error:
        end_without_numpy(error, what="simulating", as_json=as_json)
    choices = Choices(
        trace=trace,
        rules=(policy, *(against or ())),
        fleet=fleet,
        model=model,
        start_up_seconds=start_up,
        start_up_cv2=start_up_cv2,
        service_seconds=service,
        service_cv2=service_cv2,
        mean_load=mean_load,
        slots=slots,
        objective_seconds=objective,
        is_kubernetes=hpa,
        sync_seconds=(_HPA_SYNC_SECONDS if hpa else _AGENT_SYNC_SECONDS) if sync is None else sync,
        forecasts=forecast,
        failures_an_hour=worker_failures,
        lease_seconds=lease,
        outages=tuple(outage or ()),
        context_token_seconds=context_token,
        generated_token_seconds=generated_token,
        cost=cost,
        seed=seed,
        requirements=tuple(require or ()),
        plot=plot,
        shown_decisions=decisions,
        as_json=as_json,
    )
    with failures(as_json=as_json):
        code = run(choices)
    if code:
        raise typer.Exit(code)
