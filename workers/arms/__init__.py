"""The six arms: thin actors, one module each. A workflow asks them, and they answer.

    planner      which arms work on a goal, and who waits for whom
    executor     runs the command a goal asks for, in the sandbox
    coder        writes a program and runs its check, in the sandbox
    retriever    searches what is known
    guardian     screens goals and results, analyses security
    judge        says whether a result serves its goal

What they are given and what they answer stands in `workers.forms`. None of them knows another:
`workers.orchestrator` decides who is asked next and moves the task's row. Executor, coder,
retriever and guardian also do tasks by themselves that name them (`workers.direct_work`); only for
these they hold database connections. A module has a `lifespan`, which the worker enters before it
claims: it opens what the arm needs.

The weakness: a message is delivered at least once, so an arm may work twice on one step; what it
does is safe to do twice, and the journal keeps the first answer.
"""
