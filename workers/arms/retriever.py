"""The retriever: searches what is known and has an answer put together from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from workers.direct import Arm
from workers.direct_work import MAX_BACKOFF, do_task, outages_do_not_count
from workers.forms import Given, Result, material_of
from workers.means import STANDARD, TIME_LIMIT, Means, means_here
from workers.resources import LIBRARY, MODEL, TASKS, lifespan_of

if TYPE_CHECKING:
    from collections.abc import Sequence

lifespan = lifespan_of(TASKS, MODEL, LIBRARY)


@octoqueue.actor(queue="retriever", max_retries=3, time_limit=TIME_LIMIT)
async def look_up(goal: str, given: list[Given], findings: list[str]) -> Result:
    """Search for a goal and return the answer and its sources."""
    return await looked_up(goal, given=given, findings=findings, means=means_here())


@octoqueue.actor(
    queue="retriever",
    retry_when=outages_do_not_count,
    max_backoff=MAX_BACKOFF,
    time_limit=TIME_LIMIT,
    on_dead_letter="fail_direct_task",
)
async def retrieve(task_id: str, goal: str) -> None:
    """Do a task that names this arm."""
    await do_task(task_id, goal, arm=Arm.RETRIEVER, work=looked_up)


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
