"""Durable state of submitted work.

A *task* is what an API caller submitted: a goal with a priority. Its row is the truth about it;
messages only move it along.

        add            start              complete
    ·  ─────►  queued ──────►  running  ───────────►  completed
                  │               │          fail
                  └───────────────┴────────────────►  failed

Every move is compare-and-set: it happens once, and doing it again changes nothing. `completed` and
`failed` are final, so a redelivered message can neither move a finished task back nor turn one
outcome into the other; the first one stands.

`tasks` holds the values and the table of legal moves (pure), `protocol` the verbs, `postgres_tasks`
the adapter, which can also write in somebody's transaction. The weakness: once its message has left
the outbox, a task's row and its message live in two servers. A Redis that lost its memory is found
by age, by the sweep in `workers/admin`.
"""
