"""Brings a database to the schema this code needs: numbered files, applied once, in order.

    NNNN_pre_*.sql     before the new code starts; the old code must still work on it
    NNNN_post_*.sql    after the last old process is gone

A deployment runs `migrate(before_code=True)`, rolls its processes, then runs `migrate()`. A new
database, and a laptop's own, takes everything at once. Each migration is one transaction with its
row in `schema_migrations`; an advisory lock keeps two processes from migrating at the same time.

A file that was applied never changes again: a different checksum is refused, because nobody could
say what such a database looks like. Migrations unknown to this code are accepted (a newer release
ran its pre-migrations before rolling), so whoever writes one keeps yesterday's code working.

The weakness: what cannot run inside a transaction (`create index concurrently`) has no place here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from octoqueue.errors import DeclarationError, SchemaMismatch
from octoqueue.postgres.sqlstate import DRIVER_ERRORS, error_from
from octoqueue.postgres.statements import load_statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from octoqueue.postgres.pool import Connection, PostgresPool

_FILE = re.compile(r"(?P<number>\d{4})_(?P<phase>pre|post)_(?P<slug>[a-z0-9_]+)\.sql")
_LOCK_NUMBER = 0x6F63_746F_7175_6575
"""`octoqueu` in ASCII: one lock for the whole schema."""


class Phase(StrEnum):
    """When a migration may run, relative to the code that needs it."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    number: int
    phase: Phase
    name: str
    """The file's name without `.sql`."""
    script: str

    @property
    def checksum(self) -> str:
        """What is remembered of the file's text."""
        return sha256(self.script.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """Where a database stands."""

    version: int
    """The highest number applied, 0 for none."""
    pending: tuple[Migration, ...]
    """What this code would still apply, in order."""


def known_migrations() -> tuple[Migration, ...]:
    """Return the migrations shipped with this code, in order.

    Raises:
        DeclarationError: a file is misnamed, or two have one number.
    """
    folder = files("octoqueue.postgres").joinpath("migrations")
    return migrations_from(
        {each.name: each.read_text("utf-8") for each in folder.iterdir() if each.is_file()}
    )


def migrations_from(sources: Mapping[str, str]) -> tuple[Migration, ...]:
    """Return the migrations in a mapping of file names to their text, in order.

    Raises:
        DeclarationError: a file is misnamed, or two have one number.
    """
    found: dict[int, Migration] = {}
    for name, script in sorted(sources.items()):
        match = _FILE.fullmatch(name)
        if match is None:
            raise DeclarationError(f"{name} is not named NNNN_pre_slug.sql or NNNN_post_slug.sql")
        number = int(match["number"])
        if number in found:
            raise DeclarationError(f"{name} has the number of {found[number].name}")
        found[number] = Migration(
            number=number,
            phase=Phase(match["phase"]),
            name=name.removesuffix(".sql"),
            script=script,
        )
    return tuple(found.values())


def pending_from(known: Sequence[Migration], applied: Mapping[int, str]) -> tuple[Migration, ...]:
    """Return which of `known` are still to be applied, given number → checksum of those that were.

    Raises:
        SchemaMismatch: an applied file has changed, or one to apply has a number below one that
            this code knows to be applied.
    """
    changed = [each for each in known if applied.get(each.number, each.checksum) != each.checksum]
    if changed:
        raise SchemaMismatch(
            f"migration {changed[0].name} was applied with another text; "
            "restore the file, and put the change into a new migration"
        )
    pending = tuple(each for each in known if each.number not in applied)
    reached = max((each.number for each in known if each.number in applied), default=0)
    if pending and pending[0].number < reached:
        raise SchemaMismatch(
            f"migration {pending[0].name} was never applied, but number {reached:04} was; "
            "give it the next free number"
        )
    return pending


def leading_pre(pending: Iterable[Migration]) -> tuple[Migration, ...]:
    """Return the pre-migrations in front of the first post-migration."""
    taken: list[Migration] = []
    for each in pending:
        if each.phase is Phase.POST:
            break
        taken.append(each)
    return tuple(taken)


class Migrator:
    """Applies migrations to one database."""

    def __init__(self, pool: PostgresPool, *, known: Sequence[Migration] | None = None) -> None:
        self._pool = pool
        self._known = known_migrations() if known is None else tuple(known)
        self._sql = load_statements("migrations")

    async def state(self) -> SchemaState:
        """Return where the database stands; waits for nobody and changes nothing.

        Raises:
            SchemaMismatch: see `pending_from`.
            StoreUnavailable: the database cannot be reached.
        """
        (row,) = await self._pool.fetch(self._sql["find_bookkeeping"])
        if not row["is_there"]:
            return SchemaState(version=0, pending=self._known)
        rows = await self._pool.fetch(self._sql["list_migrations"])
        applied = {int(row["number"]): str(row["checksum"]) for row in rows}
        return SchemaState(
            version=max(applied, default=0), pending=pending_from(self._known, applied)
        )

    async def migrate(self, *, before_code: bool = False) -> tuple[Migration, ...]:
        """Apply what is pending and return it; with `before_code`, stop at a post-migration.

        A database that was never migrated takes everything at once: no old code runs on it.

        Raises:
            SchemaMismatch: see `pending_from`.
            StoreRefused: a migration failed; it and all after it were not applied.
            StoreUnavailable: the database cannot be reached.
        """
        if not (await self.state()).pending:
            return ()
        async with self._pool.dedicated(purpose="migrate") as connection:
            await connection.execute(self._sql["lock_schema"].text, _LOCK_NUMBER)
            await connection.execute(self._sql["create_bookkeeping"].text)
            rows = await connection.fetch(self._sql["list_migrations"].text)
            applied = {int(row["number"]): str(row["checksum"]) for row in rows}
            pending = pending_from(self._known, applied)
            if before_code and applied:
                pending = leading_pre(pending)
            for migration in pending:
                await self._apply(connection, migration)
            return pending

    async def _apply(self, connection: Connection, migration: Migration) -> None:
        row = (migration.number, migration.name, migration.checksum)
        try:
            async with connection.transaction():
                await connection.execute(migration.script)
                await connection.execute(self._sql["record_migration"].text, *row)
        except DRIVER_ERRORS as exc:
            raise error_from(exc, statement=f"migration {migration.name}") from exc
