"""Tables and verdicts of the comparison, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.scaling.curves import Point, attainment_at, front, hours_at
from bench.scaling.sections import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.scaling.sections import Section
    from bench.scaling.tasks import Row

MOST_HOURS: Final = 1.10
LEAST_SAVING: Final = 0.03
MOST_TURNS: Final = 6.0
_MOST_ROWS: Final = 5
_HEAD: Final = (
    "| rule | minutes met | hours / clairvoyant | violations | P99 wait | turns an hour "
    "| first half | second half |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)
_ORDER: Final = ("static", "trailing maximum", "depth", "cpu", "policy", "policy and forecast")


def table(section: Section) -> str:
    """Return a section's table."""
    return "\n".join([f"### {section.title}", "", _HEAD, *_lines(section)])


def _lines(section: Section) -> Iterator[str]:
    for rule in _ORDER:
        for row in _shown(section, rule):
            mark = "**" if rule == "policy and forecast" and row == section.chosen else ""
            first, second = row.halves
            yield (
                f"| {mark}{row.rule}{mark} | {row.attainment:.2%} | {row.hours_ratio:.3f} "
                f"| {row.violations} | {_seconds(row.wait_p99_seconds)} "
                f"| {row.turns_per_hour:.1f} | {first[0]:.2%} at {first[1]:.3f} "
                f"| {second[0]:.2%} at {second[1]:.3f} |"
            )


def _shown(section: Section, rule: str) -> list[Row]:
    """Return the rows of a rule that say something: its best ones, from few hours to many."""
    rows = sorted(section.rows.get(rule, []), key=lambda row: row.hours_ratio)
    if rule in ("policy", "policy and forecast"):
        return rows
    best: list[Row] = []
    for row in rows:
        if not best or row.attainment > best[-1].attainment:
            best.append(row)
    if len(best) <= _MOST_ROWS:
        return best
    step = (len(best) - 1) / (_MOST_ROWS - 1)
    return [best[round(step * i)] for i in range(_MOST_ROWS)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else "over 10 min"


def comparisons(section: Section) -> list[str]:
    """Return what every other rule takes for our attainment, and reaches for our hours."""
    ours = section.chosen
    minutes = round(ours.violations / max(1 - ours.attainment, 1e-9)) if ours.violations else 0
    found: list[str] = []
    for rule in _ORDER[:-1]:
        points = section.points(rule)
        hours = hours_at(points, ours.attainment)
        met = attainment_at(points, ours.hours_ratio)
        said = (
            "does not attain as much with any choice"
            if hours is None
            else f"takes {hours:.3f} for our attainment, ours saves "
            f"{1 - ours.hours_ratio / hours:.1%}"
        )
        late = (
            "has no choice that costs as little"
            if met is None
            else f"meets {met:.2%} for our hours: {(1 - met) * minutes:.0f} violations, ours "
            f"{ours.violations}"
        )
        found.append(f"- {rule}: {said}; {late}.")
    return found


def verdicts(section: Section) -> list[dict[str, Any]]:
    """Return whether what is asked for was reached."""
    ours, target = section.chosen, TARGETS.get(section.start_up_seconds, 0.0)
    trailing = hours_at(section.points("trailing maximum"), ours.attainment)
    saving = 1 - ours.hours_ratio / trailing if trailing else 0.0
    return [
        _verdict(
            section,
            f"minutes met, at least {target:.1%}",
            ours.attainment,
            ours.attainment >= target,
        ),
        _verdict(
            section,
            f"hours / clairvoyant, at most {MOST_HOURS:.2f}",
            ours.hours_ratio,
            ours.hours_ratio <= MOST_HOURS,
        ),
        _verdict(
            section,
            f"saving against the trailing maximum of hindsight, at least {LEAST_SAVING:.0%}",
            saving,
            saving >= LEAST_SAVING,
        ),
    ]


def curve_verdicts(section: Section) -> list[dict[str, Any]]:
    """Return whether our curve is below each other one, and how often the chosen point turns.

    A curve is below another one if it attains what each of its points does for no more hours.
    """
    ours = section.points("policy and forecast")
    turns = section.chosen.turns_per_hour
    found = [_below(section, rule, ours) for rule in _ORDER[:-1]]
    return [
        *found,
        _verdict(section, f"turns an hour, at most {MOST_TURNS:g}", turns, turns <= MOST_TURNS),
    ]


def _below(section: Section, rule: str, ours: list[Point]) -> dict[str, Any]:
    """Judge the points of a rule's front that attain at least as much as our cheapest one."""
    least = min(point.attainment for point in front(ours))
    others = [point for point in front(section.points(rule)) if point.attainment >= least]
    beaten = [
        (hours_at(ours, point.attainment) or float("inf")) <= point.hours_ratio for point in others
    ]
    share = sum(beaten) / len(beaten) if beaten else 1.0
    return _verdict(
        section, f"share of the curve of {rule} that is not below ours", share, share == 1
    )


def _verdict(section: Section, what: str, value: float, reached: bool) -> dict[str, Any]:  # noqa: FBT001
    return {"section": section.title, "what": what, "value": value, "reached": reached}


def verdict_line(verdict: dict[str, Any]) -> str:
    """Return one verdict as a line."""
    word = "reached" if verdict["reached"] else "MISSED"
    return f"- {word}: {verdict['section']}: {verdict['what']}: {verdict['value']:.4g}"
