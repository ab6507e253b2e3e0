"""The orchestrator of the platform: the workflow that takes a task through its arms.

`graph` says which steps of a plan are ready (pure).
"""
