"""The six arms: thin actors, one module each, and what they share.

    reflex ──► planner ──► executor | coder | guardian | retriever ──► judge ──► the task's row
                  │                          │
                  └── the row starts         └── out of retries: fail_task, by the judge's fleet

Every hop is a follow-up message in the lane of the one before it, committed with its ack. Only the
planner and the judge touch the task's row, so the other arms hold no database connection. A module
has a `lifespan`, which the worker enters before it claims: it opens what the arm needs.

The weakness: a message is delivered at least once, so an arm may work twice on one task; what it
does is safe to do twice, and the row takes the first outcome.
"""
