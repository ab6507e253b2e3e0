"""Typed configuration, read once per process by an entry point and passed down.

Who wins, highest first: command-line overrides, environment (`OCTOQUEUE_…`), file
(`octoqueue.yaml`), defaults. A key that nobody knows is refused wherever it stands.
"""
