"""Points in time as a machine and as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(milliseconds: int) -> str:
    """Return a moment as a machine is told it: UTC, to the millisecond."""
    told = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return told.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(told: str) -> str:
    """Return a moment as the clock on the wall here shows it."""
    return f"{datetime.fromisoformat(told).astimezone():%Y-%m-%d %H:%M:%S}"
