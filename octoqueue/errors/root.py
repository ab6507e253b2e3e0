"""`OctoqueueError`: what all errors of octoqueue are."""

from __future__ import annotations

from typing import ClassVar


class OctoqueueError(Exception):
    """Something went wrong in octoqueue."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])
