"""`python -m bench`: measure, and print the numbers."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import uvloop
from rich.console import Console
from rich.markup import escape

from bench import machine, report
from bench.harness import Bench, measure
from bench.scenarios import (
    drain,
    enqueue,
    growth,
    http,
    io,
    latency,
    load,
    memory,
    network,
    priority,
    workflow,
)
from bench.server import private_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.harness import Rounds, Scenario

SCENARIOS: dict[str, Scenario] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        drain,
        enqueue,
        latency,
        load,
        io,
        priority,
        memory,
        growth,
        network,
        http,
        workflow,
    )
}
_PAGE_WIDTH = 160


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "scenarios",
        nargs="*",
        metavar="scenario",
        help=f"what to measure, all of them by default: {', '.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--repeats", type=_positive, default=5, help="rounds that count, after a warm-up (5)"
    )
    parser.add_argument(
        "--messages", type=_thousands, default=10_000, help="messages to drain (10000)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round to FILE")
    asked = parser.parse_args(words)
    for name in asked.scenarios:
        if name not in SCENARIOS:
            parser.error(f"there is no scenario {name!r}, only {', '.join(SCENARIOS)}")
    return asked


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _thousands(word: str) -> int:
    number = _positive(word)
    if number % 1_000:
        raise argparse.ArgumentTypeError("must be a multiple of 1000")
    return number


def told(console: Console) -> Callable[[str], None]:
    """Return what shows whoever watches how far it is.

    Plainly: a thread that draws a spinner would take its turns in the middle of measurements.
    """

    def tell(step: str) -> None:
        if console.is_terminal:
            console.file.write(f"\r\x1b[2K{step[: console.width - 1]}\r")
            console.file.flush()

    return tell


async def run(asked: argparse.Namespace, console: Console) -> dict[str, str]:
    """Measure what was asked for, printing each scenario when it is done.

    Returns:
        Why the ones failed that did, by name; the others are measured all the same.
    """
    measured: dict[str, tuple[Scenario, Rounds]] = {}
    failed: dict[str, str] = {}
    async with private_server() as server:
        facts = machine.facts(redis_version=await server.version())
        facts |= {"rounds": str(asked.repeats), "messages": f"{asked.messages:,}"}
        facts["other work before"] = _share(await machine.busy_percent())
        report.show_facts(console, facts)
        bench = Bench(server=server, messages=asked.messages)
        for name in asked.scenarios or SCENARIOS:
            scenario = SCENARIOS[name]
            try:
                rounds = await measure(
                    scenario, bench, repeats=asked.repeats, on_step=told(console)
                )
            except Exception as error:  # noqa: BLE001 - shown, and the exit code tells
                failed[name] = f"{type(error).__name__}: {error}"
                console.print(f"\n[bold]{name}[/bold] failed: {escape(failed[name])}")
                continue
            report.show(console, scenario, rounds)
            measured[name] = scenario, rounds
        facts["other work after"] = _share(await machine.busy_percent())
    console.print(f"\n[dim]other work after  {facts['other work after']}", highlight=False)
    console.print(
        "[dim]~ marks a range wider than a quarter of the median: noise, or worth a look. "
        "Compare only within one run."
    )
    if asked.json is not None:
        found = report.as_json(facts, measured) | {"failures": failed}
        asked.json.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return failed


def _share(percent: float | None) -> str:
    return "unknown" if percent is None else f"{percent:.0f} % of all cores"


def main() -> None:
    """Run the program."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PAGE_WIDTH)
    asked = parsed()
    gc.collect()
    gc.freeze()  # what is loaded will stay: senders in this process need not look at it again
    began = time.monotonic()
    failed = uvloop.run(run(asked, console))
    console.print(f"[dim]{time.monotonic() - began:.0f} seconds in all", highlight=False)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
