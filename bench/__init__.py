"""How fast octoqueue is, measured beside what it could be at best: see README.md."""
