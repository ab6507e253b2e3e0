"""`python -m workers.migrate`: bring the database to this code's schema, post-migrations too.

Workers and the HTTP edge apply what must run before them by themselves. This is for the step after
a roll-out, and for who wants migrations to be a step of their own.
"""

from __future__ import annotations

import asyncio
import sys

from octoqueue.errors import OctoqueueError
from octoqueue.settings.root import Settings
from octoqueue.telemetry.logging import configure
from workers.bootstrap import migrate_fully


def main() -> int:
    """Return 0 when the schema is up to date."""
    try:
        settings = Settings.load()
        configure(settings.log.level, settings.log.format)
        asyncio.run(migrate_fully(settings))
    except OctoqueueError as exc:
        sys.stderr.write(f"octoqueue: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
