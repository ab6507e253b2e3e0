"""The public test kit: run and inspect your actors without a server.

`MemoryLaneStore` keeps the same promises as the Redis store (both pass one contract suite) inside
one process; its clock may be a `FakeClock` that moves only when told.
"""
