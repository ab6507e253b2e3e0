"""The command line. `main` knows commands by name only; a module loads when its command runs."""
