"""How many workers a fleet should have: pure arithmetic on snapshots.

The same code decides for KEDA, for the fleet agent on one machine and in the simulator:

    FleetSnapshot ──decide()──► Decision ──damping──► replicas

`decide` asks every rule of the policy what it demands, takes the largest, and applies bounds and
caps; each step is kept with its reason. Damping (`hpa`) is the algorithm of the Kubernetes
HorizontalPodAutoscaler; on Kubernetes that controller applies it itself.

    load                what there is to do, added up over the queues of a fleet
    depth, latency,     rules: from a load to a `Demand`
    rate, objective
    erlang, finishing,  what objectives stand on: waiting, running, catching up
    backlog
    foreseen, headroom  the load that a forecast expects
    schedule, caps,     what bounds demands
    protection_floor, activation
    composition         steps, the decisive one, the reason
    defaults            the numbers of the reference

Nothing here reads a clock, a server or the environment. A number that was not read never arrives
here: who reads raises.
"""
