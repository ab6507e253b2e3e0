"""KEYS and ARGV of every script, built by pure functions: one module a verb.

What a call touches is decided here and nowhere else, so that a test can prove that on Redis
Cluster all keys of a call share a slot, without a server.
"""
