"""Objects: what is too large for Redis, in a bucket or a folder.

An object is written once under a key nobody else uses, read by whoever has the key, and deleted
with the whole day it expires on. It is written before the record that names it and deleted after
that record is gone, so a crash in between leaves an object that nobody knows: the day's end takes
it, too.

The weakness: a folder is only found by processes of the same machine.
"""
