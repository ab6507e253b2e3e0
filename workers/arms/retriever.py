"""The retriever: searches what is known and has an answer put together from it."""

from __future__ import annotations

import octoqueue
from octoqueue.models.protocol import Prompt, Purpose
from workers.arms.hand_over import ARM_TIME_LIMIT, Result
from workers.arms.judge import hand_in
from workers.resources import LIBRARY, MODEL, lifespan_of

lifespan = lifespan_of(MODEL, LIBRARY)


@octoqueue.actor(
    queue="retriever", max_retries=3, time_limit=ARM_TIME_LIMIT, on_dead_letter="fail_task"
)
async def retrieve(task_id: str, goal: str) -> None:
    """Search for a goal and hand the answer and its sources to the judge."""
    hits = LIBRARY.get().search(goal)
    material = "\n\n".join(hit.document.text for hit in hits)
    completion = await MODEL.get().complete(
        Prompt(purpose=Purpose.ANSWER, goal=goal, material=material)
    )
    sources = [
        {"name": hit.document.name, "title": hit.document.title, "score": hit.score} for hit in hits
    ]
    found = f"{len(sources)} source{'' if len(sources) == 1 else 's'}"
    result = Result(
        summary=f"An answer from {found}." if sources else "Nothing is known about this.",
        output={"answer": completion.text, "sources": sources, "model": completion.model},
        checks=[{"name": "library searched", "passed": True, "detail": found}],
    )
    await hand_in(task_id, goal, arm="retriever", result=result)
