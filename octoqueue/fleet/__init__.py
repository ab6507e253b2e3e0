"""Worker processes on one machine: which there are, how many, and what keeps them running.

`plan` says which processes a configuration asks for. Two things run them:

`FleetAgent` looks after fleets: as many workers as its `Resizer` has decided, damped and shared,
in `Crew`s of `Member`s. Workers hold an `AgentLink` to its socket and survive its death for a time;
the next agent adopts them.

`Supervisor` runs a fixed set: it starts each, writes down what it says, starts it again when
it dies, and ends it with a signal, then by force. A child and its supervisor hold the two ends of a
`Lifeline`: over it the child says that it is ready, and by its end the child learns that the
supervisor has died, and ends.

`FleetDecider` decides how many workers a fleet wants, for the agent, for KEDA's scaler and for the
command line.

The weakness: neither the agent nor a supervisor is kept alive by anything here.
"""
