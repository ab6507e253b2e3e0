"""Queues of messages with lanes and leases.

The life of a message:

    enqueue ──► waiting in its lane ──claim──► leased ──ack──────────► gone (its result may stay)
       │              ▲   ▲                      │ ├──retry──► delayed or waiting again
       └─► delayed ───┘   └──────────reclaim─────┘ ├──release─► waiting again, at the head
            promote                                └──dead-letter──► dead letters

A dead letter stays until somebody replays it (waiting again, as if never tried) or purges it.

A lease lives as long as its worker's session renews itself; a message is in exactly one of these
places, and every move is one script.

Weakness: delivery is at least once. A worker that loses its connection for longer than the lease
goes on running what another worker then runs too; its ack is refused, its side effects are not.
"""
