"""Running workflows: who holds their partitions, writes their turns, and sends what follows.

    letters, timers, ended functions      inputs of executions, in order
        │  driving   an input moves a machine, which gives a turn
        ▼
    turns ── writing ──► PostgreSQL       one transaction a group; the next group collects
        │  sending   only what is committed has effects
        ▼
    messages of steps, with the acks of the letters that caused them; timers; functions; answers

`membership` decides together with the others who holds which partition; `reconciling` sends again
what may have been lost between a write and what follows from it, `blocked` tries executions again
that could not go on. `assignment`, `inbox`, `loaded`, `timers` and `effects` are pure.

What an orchestrator knows it can lose at any moment: everything is in the journal. What it sends it
may send twice: a step's message has a unique key. What it writes is refused when it does not hold
the partition any more. So each of its parts may fail without asking the others.
"""
