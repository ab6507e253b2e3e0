"""`python -m bench.scaling`: rules compared on recorded traffic, in the simulator."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.scaling.sections import (
    TARGETS,
    TUNED_FOR_START_UP,
    azure_section,
    heavy_section,
    tuned_price,
    world_cup_section,
)
from bench.scaling.speed import speeds
from bench.scaling.table import comparisons, curve_verdicts, table, verdict_line, verdicts

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from bench.scaling.sections import Section

PARTS = ("worldcup", "heavy", "azure", "speed")


def main(words: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--price", type=float, help="of a missed minute; else tuned")
    parser.add_argument("--out", type=Path, help="write figures as JSON")
    asked = parser.parse_args(words)
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}, only {', '.join(PARTS)}")
    parts: list[str] = asked.parts or list(PARTS)
    began = time.monotonic()
    found: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%d")}
    context = get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
        sections = _compared(pool, parts, asked.price, found)
    if "speed" in parts:
        found["speed"] = speeds()
        print("### Speed", "", sep="\n")
        for name, value in found["speed"].items():
            print(f"- {name}: {value:.1f}")
    found["seconds"] = time.monotonic() - began
    if asked.out is not None:
        found["sections"] = [_as_json(section) for section in sections]
        asked.out.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return 0


def _compared(
    pool: Executor, parts: list[str], price: float | None, found: dict[str, Any]
) -> list[Section]:
    if price is None:
        price, tried = tuned_price(pool)
        found["tuning"] = [asdict(row) for row in tried]
        print("### Tuned on the first half of the World Cup trace, start-up 60 s", "", sep="\n")
        for row in tried:
            print(f"- {row.rule}: {row.attainment:.2%} at {row.hours_ratio:.3f}")
        print(f"\nChosen for everything below: a missed minute costs {price:g}.\n", flush=True)
    found["price"] = price
    found["verdicts"] = []
    sections: list[Section] = []
    for start_up_seconds in TARGETS:
        if "worldcup" in parts:
            section = world_cup_section(pool, start_up_seconds=start_up_seconds, price=price)
            _show(section, verdicts(section), found)
            sections.append(section)
        if "heavy" in parts and start_up_seconds == TUNED_FOR_START_UP:
            section = heavy_section(pool, start_up_seconds=start_up_seconds, price=price)
            _show(section, [], found)
            sections.append(section)
    if "azure" in parts:
        section = azure_section(pool, start_up_seconds=60.0, price=price)
        _show(section, curve_verdicts(section), found)
        sections.append(section)
    return sections


def _show(section: Section, judged: list[dict[str, Any]], found: dict[str, Any]) -> None:
    found["verdicts"] += judged
    print(table(section), "", *comparisons(section), *map(verdict_line, judged), "", sep="\n")
    sys.stdout.flush()


def _as_json(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "price": section.price,
        "rows": [asdict(row) for rows in section.rows.values() for row in rows],
        "trailing_maxima": [
            [each.minutes, each.headroom, each.spare_workers, *each.point] for each in section.tuned
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
