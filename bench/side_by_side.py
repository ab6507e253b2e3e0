"""`python -m bench.side_by_side`: octoqueue, the bare loop and every installed peer, in one run.

Everyone is measured once a round, in turn, on the same private Redis, by the same rulers. At the
end stands one table: ours, the best peer, the ratio of the two round by round, and what was to be
reached. A peer that fails is shown with its reason and left out from then on.

Weakness: what is compared is what a queue does for a message, and most promise less than ours; the
table of adapters in README.md says who loses messages when.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from bench import machine, report
from bench.figures import paired_ratio
from bench.harness import Bench, Figure, Scenario, Side, measure
from bench.peers import rulers
from bench.peers.catalogue import BARE, OURS, PING, chosen, is_installed, version
from bench.server import private_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bench.harness import Rounds
    from bench.peers.rulers import Peer

_PAGE_WIDTH = 160
BEST = "best peer"
_REFERENCES = (OURS, BARE, PING)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached: so many times another side, or so much."""

    factor: float
    to: str = ""
    """A side, or `BEST`; nothing for an absolute figure."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a figure of a case, and what it is to reach."""

    label: str
    figure: Figure
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Something everyone is measured at who has what it `needs`."""

    name: str
    question: str
    needs: str
    ruler: Callable[[Peer, Bench], Awaitable[Mapping[str, float]]]
    rows: tuple[Row, ...]
    more: tuple[Figure, ...] = ()


_SPEED = Figure("messages/s", better="more")
_SENT = Figure("per second", better="more")
_WORKER_CPU = Figure("worker CPU µs", 1, better="less")
_REDIS_CPU = Figure("Redis CPU µs", 1, better="less")
_COMMANDS = Figure("Redis commands", 2, better="less")
_BYTES = Figure("Redis bytes", 0, better="less")
_PRODUCER_CPU = Figure("producer CPU µs", 1, better="less")

CASES = (
    Case(
        "drain",
        "no-op messages, one process, 100 at a time where that can be said",
        "drain",
        rulers.drain,
        (
            Row("drain, 1 process, /s", _SPEED, (Goal(5, BEST), Goal(0.5, BARE))),
            Row("worker CPU a message, µs", _WORKER_CPU, (Goal(16),)),
            Row("Redis memory a message, bytes", _BYTES, (Goal(220),)),
        ),
        (_REDIS_CPU, _COMMANDS),
    ),
    Case(
        "drain2",
        "the same with two processes",
        "drain",
        partial(rulers.drain, processes=2),
        (Row("drain, 2 processes, /s", _SPEED, (Goal(5, BEST),)),),
        (_WORKER_CPU, _REDIS_CPU),
    ),
    Case(
        "sync",
        "no-op messages of a function that blocks, in threads",
        "sync",
        partial(rulers.drain, task="sync_noop"),
        (Row("drain, sync, /s", _SPEED, (Goal(3, "dramatiq, tuned"),)),),
        (_WORKER_CPU,),
    ),
    Case(
        "enqueue",
        "messages sent one by one, each awaited",
        "each",
        partial(rulers.enqueue, how="each"),
        (Row("enqueue one by one, /s", _SENT, (Goal(1, BEST), Goal(0.4, PING))),),
        (_PRODUCER_CPU,),
    ),
    Case(
        "together",
        "messages sent by 100 coroutines, each awaited",
        "together",
        partial(rulers.enqueue, how="together"),
        (Row("enqueue, 100 coroutines, /s", _SENT, (Goal(40_000),)),),
        (_PRODUCER_CPU,),
    ),
    Case(
        "bulk",
        "messages sent by a thousand a call",
        "bulk",
        partial(rulers.enqueue, how="bulk"),
        (Row("enqueue in bulk, /s", _SENT, (Goal(100_000),)),),
        (_PRODUCER_CPU,),
    ),
    Case(
        "latency",
        f"from due to begun on an idle worker, open loop, {rulers.RATE} a second",
        "latency",
        rulers.latency,
        (
            Row("latency P50, ms", Figure("P50 ms", 2, better="less"), (Goal(0.6),)),
            Row("latency P99, ms", Figure("P99 ms", 2, better="less"), (Goal(1.2),)),
        ),
        (Figure("max ms", 1, better="less"),),
    ),
    Case(
        "io",
        "messages that wait 20 ms, 500 at once: 25,000/s at best",
        "io",
        rulers.nap,
        (Row("20 ms I/O, 500 at once, /s", _SPEED, (Goal(15_000),)),),
        (_WORKER_CPU,),
    ),
    Case(
        "priority",
        "100 urgent messages behind 10,000 others, 1 ms of CPU each: 100 ms at best",
        "priority",
        rulers.priority,
        (Row("100 urgent behind 10,000, ms", Figure("ms", 1, better="less"), (Goal(115),)),),
    ),
)


class Failures:
    """Who failed at what, and why: measured no more, and shown."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[str, str], str] = {}

    def guarded(self, case: Case, peer: Peer) -> Side:
        """Return the side that measures a peer until it fails; ours and the references must not."""

        async def run(bench: Bench) -> Mapping[str, float]:
            if (case.name, peer.name) in self.reasons:
                return {}
            try:
                return await case.ruler(peer, bench)
            except (AssertionError, OSError, RuntimeError, TimeoutError, ValueError) as error:
                if peer.name in _REFERENCES:
                    raise  # without ours there is nothing to compare
                self.reasons[case.name, peer.name] = str(error) or type(error).__name__
                return {}

        return Side(peer.name, run)


def scenario_of(case: Case, peers: Sequence[Peer], failures: Failures) -> Scenario:
    """Return the scenario that measures the peers at a case."""
    able = [peer for peer in peers if case.needs in peer.can]
    return Scenario(
        name=case.name,
        question=case.question,
        figures=(*(row.figure for row in case.rows), *case.more),
        sides=tuple(failures.guarded(case, peer) for peer in able),
    )


def best_peer(rounds: Rounds, figure: Figure) -> str | None:
    """Return who was best at a figure, apart from ours and the references."""
    medians = {
        side: median(figures[figure.name])
        for side, figures in rounds.items()
        if side not in _REFERENCES and figures.get(figure.name)
    }
    if not medians:
        return None
    best = max if figure.better == "more" else min
    return best(medians, key=medians.__getitem__)


def verdict(row: Row, goal: Goal, rounds: Rounds) -> dict[str, Any] | None:
    """Return how near ours came to a goal; None where there is nobody to compare with."""
    figure = row.figure
    to = best_peer(rounds, figure) if goal.to == BEST else goal.to
    ours = rounds[OURS][figure.name]
    if to is None or (to and not rounds.get(to, {}).get(figure.name)):
        return None
    reached = paired_ratio(ours, rounds[to][figure.name]).median if to else median(ours)
    enough = reached >= goal.factor if figure.better == "more" else reached <= goal.factor
    return {"to": to, "wanted": goal.factor, "reached": reached, "enough": enough}


def lines(case: Case, rounds: Rounds) -> list[dict[str, Any]]:
    """Return what the table says of a case."""
    found = []
    for row in case.rows:
        name, best = row.figure.name, best_peer(rounds, row.figure)
        theirs = rounds[best][name] if best else None
        verdicts = [verdict(row, goal, rounds) for goal in row.goals]
        found.append(
            {
                "label": row.label,
                "digits": row.figure.digits,
                "ours": median(rounds[OURS][name]),
                "best": best,
                "theirs": median(theirs) if theirs else None,
                "ratio": paired_ratio(rounds[OURS][name], theirs).median if theirs else None,
                "goals": [verdict for verdict in verdicts if verdict is not None],
            }
        )
    return found


def scaling(measured: Mapping[str, tuple[Scenario, Rounds]]) -> list[dict[str, Any]]:
    """Return what the table says of two processes over one: ours, and whoever gains most."""
    if not {"drain", "drain2"} <= measured.keys():
        return []
    one, two = (measured[name][1] for name in ("drain", "drain2"))
    speed = _SPEED.name
    gains = {
        side: median(figures[speed]) / median(one[side][speed])
        for side, figures in two.items()
        if figures.get(speed) and one.get(side, {}).get(speed)
    }
    rounds: Rounds = {side: {speed: [gain]} for side, gain in gains.items()}
    case = replace(
        CASES[0], rows=(Row("2 processes over 1", replace(_SPEED, digits=2), (Goal(1),)),)
    )
    return lines(case, rounds)


def last_line(reason: str) -> str:
    """Return what a traceback says at its end."""
    said = [line.strip(" |+-") for line in reason.splitlines()]
    return next((line for line in reversed(said) if line), reason)


def show_table(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of everything."""
    table = Table(title="side by side, medians")
    for heading in ("case", "octoqueue", "best peer", "", "ratio", "goals"):
        table.add_column(heading, justify="left" if heading in {"case", "", "goals"} else "right")
    for row in rows:
        theirs = "" if row["theirs"] is None else f"{row['theirs']:,.{row['digits']}f}"
        table.add_row(
            row["label"],
            f"{row['ours']:,.{row['digits']}f}",
            theirs,
            row["best"] or "",
            "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            "; ".join(_goal(goal) for goal in row["goals"]),
        )
    console.print()
    console.print(table)


def _goal(goal: Mapping[str, Any]) -> str:
    mark = "[green]reached[/green]" if goal["enough"] else "[red]missed[/red]"
    if not goal["to"]:
        return f"{goal['wanted']:,g}: {mark}"
    return f"{goal['wanted']:g} times {goal['to']}: {goal['reached']:.2f}, {mark}"


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """Return what the command line asks for."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="python -m bench.side_by_side", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", metavar="case", help=f"what, all by default: {', '.join(names)}"
    )
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count (5)")
    parser.add_argument("--peers", default="", help="whom, all by default: huey,dramatiq,…")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round to FILE")
    asked = parser.parse_args(words)
    for name in asked.cases:
        if name not in names:
            parser.error(f"there is no case {name!r}, only {', '.join(names)}")
    if asked.repeats < 1:
        parser.error("there must be a round that counts")
    try:
        asked.peers = chosen(asked.peers.split(",") if asked.peers else ())
    except ValueError as error:
        parser.error(str(error))
    return asked


async def run(asked: argparse.Namespace, console: Console) -> None:
    """Measure everyone, printing each case when it is done and the table at the end."""
    present = [peer for peer in asked.peers if is_installed(peer)]
    absent = [peer.name for peer in asked.peers if not is_installed(peer)]
    measured: dict[str, tuple[Scenario, Rounds]] = {}
    table: list[dict[str, Any]] = []
    failures = Failures()
    async with private_server() as server:
        facts = machine.facts(redis_version=await server.version())
        facts |= {"rounds": str(asked.repeats)}
        facts |= {peer.name: f"{version(peer)} {peer.tuning}".strip() for peer in present}
        facts |= dict.fromkeys(absent, "not installed: make bench-peers")
        busy = await machine.busy_percent()
        facts["other work before"] = "unknown" if busy is None else f"{busy:.0f} % of all cores"
        report.show_facts(console, facts)
        bench = Bench(server=server, messages=0)
        for case in CASES:
            if asked.cases and case.name not in asked.cases:
                continue
            scenario = scenario_of(case, present, failures)
            with console.status(case.name) as status:
                rounds = await measure(
                    scenario, bench, repeats=asked.repeats, on_step=status.update
                )
            report.show(console, scenario, rounds)
            for (name, peer), reason in failures.reasons.items():
                if name == case.name:
                    console.print(f"[red]{peer} failed:[/red] {last_line(reason)}", highlight=False)
            measured[case.name] = scenario, rounds
            table += lines(case, rounds)
    table += scaling(measured)
    show_table(console, table)
    if asked.json is not None:
        failed = {f"{case}, {peer}": reason for (case, peer), reason in failures.reasons.items()}
        found = report.as_json(facts, measured) | {"table": table, "failures": failed}
        await asyncio.to_thread(
            asked.json.write_bytes, orjson.dumps(found, option=orjson.OPT_INDENT_2)
        )


def main() -> None:
    """Run the program."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PAGE_WIDTH)
    uvloop.run(run(parsed(), console))


if __name__ == "__main__":
    main()
