"""How a process runs work.

One event loop claims, runs and commits:

    claimer ──leases──► attempt (a task on the loop, or a thread) ──► settler ──commit──► store
       ▲                                                               │
       └──────────────────────── free slots ───────────────────────────┘

The claimer asks for as many messages as there are free slots, never more, and waits on the doorbell
when there is nothing. The settler sends whatever has ended since its last call in one call. The
heartbeat lives in a thread of its own, so that an actor that blocks the loop is noticed and logged
but does not lose the leases of the others.

Weakness: an async actor that never awaits cannot be cancelled, and a thread inside C code cannot be
interrupted; both are only reported.
"""
