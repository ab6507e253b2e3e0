"""The named services that keep the lanes tidy, each with one verb and one interval.

Every worker process runs them; what they do is one script a queue and harmless to do twice, so no
leader is needed. An idle process costs Redis a few commands a second.
"""
