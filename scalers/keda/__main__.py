"""`python -m scalers.keda`: the external scaler of the configuration."""

from __future__ import annotations

import asyncio
import sys

from octoqueue.errors import OctoqueueError
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure
from scalers.keda.main import serve


def main() -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code."""
    try:
        settings = Settings.load()
        configure(settings.log.level, settings.log.format)
        asyncio.run(serve(settings))
    except OctoqueueError as error:
        sys.stderr.write(f"scalers.keda: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
