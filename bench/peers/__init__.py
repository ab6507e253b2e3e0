"""Other queues behind one set of verbs, each in an environment of its own: see README.md."""
