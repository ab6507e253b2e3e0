"""Durable state: workflows that survive their processes, and the tasks that callers submit.

A *workflow* is a durable async function. What somebody starts has a workflow id; each run of it is
an *execution*, and each journaled action of that a *step*. `executions`, `states` and `journal`
hold the values, `protocol` the verbs of the store, `letters` what the queues of orchestrators
carry. Who runs executions is `octoqueue.orchestrator`, who starts them `octoqueue.producer`.

    ·  ──start──►  queued  ──────►  running  ───────►  completed | failed | cancelled | continued
                      │              │    ▲
                      └─► blocked ◄──┘    │    no code for it, or code that its journal does not fit
                             └────────────┘    the code is there

A *task* is what an API caller submitted: a goal with a priority. Its row is the truth about it;
messages only move it along.

        add            start              complete
    ·  ─────►  queued ──────►  running  ───────────►  completed
                  │               │          fail
                  └───────────────┴────────────────►  failed

Every move of a task is compare-and-set: it happens once, and doing it again changes nothing.
`completed` and `failed` are final, so a redelivered message can neither move a finished task back
nor turn one outcome into the other; the first one stands. `tasks` holds the values and the table of
legal moves (pure), `task_protocol` the verbs, `postgres_tasks` the adapter.

The weakness: a row and its message live in two servers. What a Redis that lost its memory has
forgotten is put back: of workflows by the orchestrator that holds the partition, of tasks by age.
"""
