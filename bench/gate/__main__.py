"""`python -m bench.gate`: count what a message costs, and compare with what was accepted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.gate.cases import CASES, REFERENCES, Cost
from bench.gate.ceilings import Excess, as_ceiling, excesses, figures_of, grown, slack
from bench.server import private_server

CEILINGS = Path(__file__).with_name("ceilings.json")
_WORTH_ACCEPTING = 0.03
_ADVICE = """\
Look:    python -m bench.gate {cases} --functions     what each function costs now
         git diff, for what the functions above do more than they did
Accept:  python -m bench.gate --accept                and say in the commit why it is worth it\
"""


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


async def counted(names: list[str]) -> dict[str, tuple[Cost, Cost]]:
    """Return cases by name, each with its reference."""
    wanted = [case for case in CASES if not names or case.name in names]
    async with private_server() as server:
        references = {
            name: await REFERENCES[name](server)
            for name in dict.fromkeys(case.reference for case in wanted)
        }
        return {
            case.name: (await case.count(server), references[case.reference]) for case in wanted
        }


def main(words: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help="all of them unless named")
    parser.add_argument("--accept", action="store_true", help="make what is counted the ceilings")
    parser.add_argument("--functions", action="store_true", help="show what each function costs")
    asked = parser.parse_args(words)
    unknown = set(asked.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"no case {', '.join(unknown)}, only {', '.join(case.name for case in CASES)}")
    costs = uvloop.run(counted(asked.cases))
    for name, (cost, reference) in costs.items():
        _show(name, cost, reference, functions=asked.functions)
    if asked.accept:
        _accept(costs)
        return 0
    accepted: dict[str, Any] = orjson.loads(CEILINGS.read_bytes())
    found = _compared(costs, accepted)
    if found:
        # Chance is not above a ceiling twice.
        found = _compared(uvloop.run(counted([excess.case for excess in found])), accepted)
    if found:
        _complain(found, costs, accepted)
    return 1 if found else 0


def _complain(
    found: list[Excess], costs: dict[str, tuple[Cost, Cost]], accepted: dict[str, Any]
) -> None:
    names = list(dict.fromkeys(excess.case for excess in found))
    lines = ["", "A message costs more than was accepted:", *(f"  {excess}" for excess in found)]
    for name in names:
        lines += ["", f"What has grown in {name}:"]
        lines += [f"  {line}" for line in grown(costs[name][0], accepted["cases"][name])]
    print("\n".join([*lines, "", _ADVICE.format(cases=" ".join(names))]), file=sys.stderr)


def _compared(costs: dict[str, tuple[Cost, Cost]], accepted: dict[str, Any]) -> list[Excess]:
    same_python = accepted["python"] == _python()
    found: list[Excess] = []
    for name, (cost, reference) in costs.items():
        ceiling = accepted["cases"][name]
        found += excesses(name, cost, reference, ceiling, same_python=same_python)
        if same_python and (cheaper := slack(cost, reference, ceiling)) > _WORTH_ACCEPTING:
            print(f"{name} is {cheaper:.0%} cheaper than accepted: --accept makes that the ceiling")
    return found


def _accept(costs: dict[str, tuple[Cost, Cost]]) -> None:
    before = orjson.loads(CEILINGS.read_bytes())["cases"] if CEILINGS.exists() else {}
    cases = before | {name: as_ceiling(*pair) for name, pair in costs.items()}
    document = {"python": _python(), "cases": cases}
    CEILINGS.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    print(f"accepted for Python {_python()}: {', '.join(costs)}")


def _show(name: str, cost: Cost, reference: Cost, *, functions: bool) -> None:
    figures = figures_of(cost, reference)
    words = ", ".join(f"{value:.2f} {figure}" for figure, value in figures.items())
    print(f"{name}: {cost.total.bytecodes:,.0f} bytecodes; {words}")
    if functions:
        print("  bytecodes     calls   C calls")
        dearest = sorted(cost.by_function.items(), key=lambda item: item[1], reverse=True)
        for function, counts in dearest:
            print("  " + "".join(f"{value:9.2f} " for value in counts) + f" {function}")


if __name__ == "__main__":
    sys.exit(main())
