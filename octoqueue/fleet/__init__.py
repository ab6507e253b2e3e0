"""Worker processes on one machine: which there are, and what keeps them running.

`plan` says which processes a configuration asks for, `Supervisor` runs them: it starts each, writes
down what it says, starts it again when it dies, and ends it with a signal, then by force. A child
and its supervisor hold the two ends of a `Lifeline`: over it the child says that it is ready, and
by its end the child learns that the supervisor has died.

The weakness: a supervisor is one process on one machine. It keeps workers alive; nothing here keeps
the supervisor alive.
"""
