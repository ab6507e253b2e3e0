"""The way of a task through its arms, in one line. Pure."""

from __future__ import annotations

from typing import Any, cast


def path_of(result: dict[str, Any]) -> str:
    """Return the arms of a task in their order: `planner → retriever + guardian → coder → judge`.

    Empty when the result does not tell its plan. Arms that wait for the same number of others stand
    together; how often the plan was made again stands behind.
    """
    plan = cast("dict[str, Any]", result.get("plan") or {})
    steps = cast("list[dict[str, Any]]", plan.get("steps") or [])
    if not steps:
        return ""
    needs = {str(step["id"]): cast("list[str]", step.get("needs") or []) for step in steps}
    levels: dict[int, list[str]] = {}
    for step in steps:
        levels.setdefault(_depth(str(step["id"]), needs), []).append(str(step["arm"]))
    groups = [" + ".join(arms) for _, arms in sorted(levels.items())]
    repairs = int(result.get("repairs") or 0)
    again = f" ({repairs} repair{'' if repairs == 1 else 's'})" if repairs else ""
    return " → ".join(["planner", *groups, "judge"]) + again


def _depth(name: str, needs: dict[str, list[str]]) -> int:
    return 1 + max((_depth(before, needs) for before in needs.get(name, [])), default=0)
