"""The platform on top of octoqueue: deployables, which wire and translate."""
