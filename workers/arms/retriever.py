"""The retriever: searches what is known and has an answer put together from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from workers.forms import Given, Result, material_of
from workers.means import STANDARD, TIME_LIMIT, Means, means_here
from workers.resources import LIBRARY, MODEL, lifespan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

lifespan = lifespan_of(MODEL, LIBRARY)


@octoqueue.actor(queue="retriever", max_retries=3, time_limit=TIME_LIMIT)
async def look_up(goal: str, given: list[Given], findings: list[str]) -> Result:
    """Search for a goal and return the answer and its sources."""
    return await looked_up(goal, given=given, findings=findings, means=means_here())


async def looked_up(
    goal: str,
    *,
    given: Sequence[Given] = (),
    findings: Sequence[str] = (),
    means: Means = STANDARD,
) -> Result:
    """Search for a goal and return the answer and its sources."""
    hits = LIBRARY.get().search(goal)
    passages = [material_of(given), *(hit.document.text for hit in hits)]
    prompt = Prompt(
        purpose=Purpose.ANSWER,
        goal=goal,
        material="\n\n".join(filter(None, passages)),
        findings=tuple(findings),
        tier=means.tier,
    )
    completion = await MODEL.get().complete(prompt)
    sources = [
        {"name": hit.document.name, "title": hit.document.title, "score": hit.score} for hit in hits
    ]
    found = f"{len(sources)} source{'' if len(sources) == 1 else 's'}"
    return Result(
        summary=f"An answer from {found}." if sources else "Nothing is known about this.",
        output={"answer": completion.text, "sources": sources, "model": completion.model},
        checks=[{"name": "library searched", "passed": True, "detail": found}],
    )
