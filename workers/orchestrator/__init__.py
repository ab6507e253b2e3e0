"""The orchestrator of the platform: the workflow that takes a task through its arms.

    agent      the workflow: screen, plan, work, review, mend at most twice
    graph      which steps of a plan are ready (pure)
    asking     whom it asks, by name
    telling    what steps are told of each other, and what the caller is told in the end (pure)

`octoqueue orchestrator workers.orchestrator.agent` runs it; the engine is `octoqueue.orchestrator`.
The task's row is moved in here, so this process holds the rows' database (`lifespan` of `agent`).
"""
