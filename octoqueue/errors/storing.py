"""For whoever speaks to Redis, PostgreSQL or an object store."""

from __future__ import annotations

from octoqueue.errors.root import OctoqueueError


class StoreError(OctoqueueError):
    """A server answered wrongly or not at all."""


class StoreUnavailable(StoreError):
    """A server cannot be reached; whether the last call took effect is unknown."""

    retryable = True

    def __init__(self, store: str, *, reason: str) -> None:
        super().__init__(f"{store} cannot be reached: {reason}")
        self.store = store


class SentTooLate(StoreError):
    """The call reached the store after the time it was allowed to take effect; it had none."""

    retryable = True


class StoreConflict(StoreError):
    """Another transaction won; nothing of this one was kept."""

    retryable = True

    def __init__(self, statement: str, *, sqlstate: str, reason: str) -> None:
        super().__init__(f"{statement} lost to another transaction ({sqlstate}): {reason}")
        self.statement = statement
        self.sqlstate = sqlstate


class StoreRefused(StoreError):
    """The server refused a statement; nothing of it was kept."""

    def __init__(
        self, statement: str, *, sqlstate: str, reason: str, constraint: str | None = None
    ) -> None:
        super().__init__(f"PostgreSQL refused {statement} ({sqlstate}): {reason}")
        self.statement = statement
        self.sqlstate = sqlstate
        self.constraint = constraint
        """Name of the violated constraint, when it was one."""


class ObjectsRefused(StoreError):
    """The object store does not let us in, or has no such bucket."""

    def __init__(self, key: str, *, reason: str) -> None:
        super().__init__(f"the object store refused {key!r}: {reason}")
        self.key = key


class ObjectMissing(StoreError):
    """The object store has no object of that key (any more)."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the object store has no object {key!r} (any more)")
        self.key = key


class SchemaMismatch(StoreError):
    """The database's schema is not the one this code needs."""


class StoreProtocolError(StoreError):
    """A script answered what this client does not understand."""
