"""One module a queue: how it is sent to and how its worker is started, and nothing else."""
