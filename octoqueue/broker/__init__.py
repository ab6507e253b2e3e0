"""The dramatiq adapter, the only room that knows dramatiq.

`LaneBroker` is a `dramatiq.Broker` on a `LaneStore`. The library below is async; dramatiq's
synchronous calls are bridged once, in `portal.py`. While a message runs, what it sends is kept in
its context and committed with its ack; everything else goes to the store at once.

Weakness: a synchronous `send` from a thread that runs an event loop blocks that loop for one round
trip. Use `asend` there.
"""
