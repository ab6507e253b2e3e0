"""The command line. `main` knows the commands by name only; each loads its module when it is run."""
