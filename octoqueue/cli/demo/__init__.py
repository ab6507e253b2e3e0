"""`octoqueue demo`: the whole platform on private servers, under a few hundred real tasks.

It goes the way of a user: tasks go in over HTTP, and their results are asked for over HTTP. Only
the numbers of the live display are read from Redis directly.
"""
