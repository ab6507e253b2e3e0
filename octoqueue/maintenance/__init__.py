"""The named services that keep the lanes tidy, each with one verb and one interval.

Every worker process runs them; what they do is one script a queue and harmless to do twice, so no
leader is needed. They sleep until there is something to do: an idle process costs Redis about one
command a second (`tests/acceptance/test_idle_fleet.py`).

The relay runs where it is wanted (`octoqueue relay`, the platform's admin workers), because it
needs PostgreSQL.
"""
