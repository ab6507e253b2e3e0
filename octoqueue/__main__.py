"""`python -m octoqueue`: the program without its script."""

from __future__ import annotations

import sys

from octoqueue.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
