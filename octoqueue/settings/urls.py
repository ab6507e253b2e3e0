"""Addresses of servers. They may hold a password, so no sentence here repeats what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable


def url_of(*schemes: str) -> Callable[[str | None], str | None]:
    """Return a validator that lets through None and well-formed URLs of `schemes`."""
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)

    def validate(url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError(
                "is no URL (in a password, '/', '@', ':', '#' and '?' must be percent-encoded)"
            ) from None
        if parts.scheme not in schemes or "://" not in url:
            raise ValueError(f"must start with {wanted}")
        if port == 0:
            raise ValueError("must not name port 0")
        return url

    return validate
