"""`octoqueue outbox`: messages of transactions that are not in their lanes yet."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import typer

from octoqueue.cli.agent_place import state_dir_of
from octoqueue.cli.output import (
    NOT_THERE,
    ConfigOption,
    JsonOption,
    answers,
    complain,
    failures,
    print_json,
    print_table,
    run_async,
)
from octoqueue.cli.reading import age_from
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import StoreUnavailable
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.outbox import Outbox, OutboxEntry, OutboxSize
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import MessageId, id_from_text
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import database_url

app = typer.Typer(
    help="Look at messages of transactions that are not in their lanes yet; retry, delete.",
    no_args_is_help=True,
    add_completion=False,
)

_LIST_HELP: Final = """
List messages that wait for a relay or that failed, oldest first.

\b
    octoqueue outbox list
    octoqueue outbox list --failed --json
"""
_RETRY_HELP: Final = """
Let relays try failed messages again.

\b
    octoqueue outbox retry 01890a5d-ac96-774b-bcce-b302099a8057
    octoqueue outbox retry --all
"""
_DELETE_HELP: Final = """
Remove failed messages for good. One that waits belongs to the relays and stays.

Shows what would be removed; does it with --yes.

\b
    octoqueue outbox delete 01890a5d-ac96-774b-bcce-b302099a8057 --yes
"""
_MIGRATE_HELP: Final = """
Bring the database to the schema of this version: the table outbox, octoqueue_enqueue(), the rest.
"""
_EVERYTHING: Final = 2**31 - 1

IdArguments = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="Message ids.", show_default=False)
]


@app.callback()
def _group() -> None:
    """Look at messages of transactions that are not in their lanes yet; retry, delete."""


@app.command(name="list", help=_LIST_HELP)
def list_(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The oldest N.")] = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List messages that wait for a relay or that failed."""
    with failures(as_json=as_json):
        size, entries = run_async(_read(Settings.load(config), limit=limit, failed=failed))
    if as_json:
        print_json({
            "pending": size.pending,
            "failed": size.failed,
            "oldest_seconds": round(size.oldest_seconds, 3),
            "messages": [document(entry) for entry in entries],
        })  # fmt: skip
        return
    if entries:
        _print_table(entries)
    oldest = f", the oldest for {age_from(size.oldest_seconds)}" if size.pending else ""
    answers().print(f"{size.pending:,} wait{oldest}; {size.failed:,} failed.", markup=False)


@app.command(help=_RETRY_HELP)
def retry(
    context: typer.Context,
    ids: IdArguments = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that failed.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let relays try failed messages again."""
    if bool(ids) == everything:
        raise typer.BadParameter("name the messages, or say --all", ctx=context)
    wanted = None if everything else _ids(context, ids or ())
    with failures(as_json=as_json):
        done = run_async(_retry(Settings.load(config), wanted))
    _tell(done, ids or (), verb="retried", as_json=as_json)


@app.command(help=_DELETE_HELP)
def delete(
    context: typer.Context,
    ids: IdArguments = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it, not only show it.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove failed messages for good."""
    if not ids:
        raise typer.BadParameter(
            "name the messages; 'outbox list --failed' shows them", ctx=context
        )
    wanted = _ids(context, ids)
    with failures(as_json=as_json):
        done = run_async(_delete(Settings.load(config), wanted, really=yes))
    verb = "deleted" if yes else "to be deleted; --yes does it"
    _tell(done, ids, verb=verb, as_json=as_json)


@app.command(help=_MIGRATE_HELP)
def migrate(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Bring the database to the schema of this version."""
    with failures(as_json=as_json):
        applied = run_async(_migrate(Settings.load(config)))
    if as_json:
        print_json({"applied": applied})
    else:
        answers().print("\n".join(applied) or "Nothing to apply.", markup=False)


def document(entry: OutboxEntry) -> dict[str, Any]:
    """Return what a machine is told of a row."""
    return {
        "message_id": entry.message_id,
        "actor": entry.actor,
        "queue": entry.queue,
        "lane": entry.lane,
        "state": "failed" if entry.failed_at else "pending",
        "created_at": entry.created_at.isoformat(),
        "due_at": entry.due_at.isoformat(),
        "eta": entry.eta.isoformat() if entry.eta else None,
        "failed_at": entry.failed_at.isoformat() if entry.failed_at else None,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
        "payload_bytes": entry.payload_bytes,
    }


async def _read(
    settings: Settings, *, limit: int, failed: bool
) -> tuple[OutboxSize, list[OutboxEntry]]:
    async with _opened(settings) as outbox:
        return await outbox.size(), await outbox.entries(limit=limit, failed_only=failed)


async def _retry(settings: Settings, wanted: list[MessageId] | None) -> list[str]:
    async with _opened(settings) as outbox:
        return await outbox.retry(wanted)


async def _delete(settings: Settings, wanted: list[MessageId], *, really: bool) -> list[str]:
    async with _opened(settings) as outbox:
        if really:
            return await outbox.drop(wanted)
        failed = await outbox.entries(limit=_EVERYTHING, failed_only=True)
        return sorted(each.message_id for each in failed if id_from_text(each.message_id) in wanted)


async def _migrate(settings: Settings) -> list[str]:
    url = await database_url(settings)
    async with PostgresPool(url, application_name="octoqueue outbox") as pool:
        return [migration.name for migration in await Migrator(pool).migrate()]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[Outbox]:
    """Open the outbox that the configuration means; start nothing."""
    url = settings.postgres.url or await _private_postgres(settings)
    async with PostgresPool(url, application_name="octoqueue outbox", min_size=1) as pool:
        yield Outbox(pool)


async def _private_postgres(settings: Settings) -> str:
    for status in await EmbeddedServices(state_dir_of(settings)).status():
        if status.name == "postgres" and status.readiness is Readiness.READY and status.url:
            return status.url
    raise StoreUnavailable(
        "PostgreSQL",
        reason="no OCTOQUEUE_POSTGRES_URL is set and no private one is running; "
        "'octoqueue outbox migrate' starts one",
    )


def _ids(context: typer.Context, texts: Sequence[str]) -> list[MessageId]:
    found: list[MessageId] = []
    for text in texts:
        ident = id_from_text(text.lower())
        if ident is None:
            raise typer.BadParameter(
                f"{text!r} is no message id; 'octoqueue outbox list' shows them", ctx=context
            )
        found.append(ident)
    return found


def _tell(done: Sequence[str], asked: Sequence[str], *, verb: str, as_json: bool) -> None:
    missing = [text for text in asked if text.lower() not in done]
    for text in missing:
        complain(f"no failed message {text} is in the outbox")
    if as_json:
        print_json({"messages": done})
    else:
        answers().print(f"{len(done):,} {verb}.", markup=False)
    if missing:
        raise typer.Exit(NOT_THERE)


def _print_table(entries: Sequence[OutboxEntry]) -> None:
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    now = SystemClock().now_ms() / 1000
    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("id", "actor", "queue", "lane", "age", "state", "attempts", "error"):
        table.add_column(header, no_wrap=header != "error")
    for entry in entries:
        table.add_row(
            entry.message_id,
            Text(entry.actor),
            Text(entry.queue or "-"),
            entry.lane or "-",
            age_from(max(0.0, now - entry.created_at.timestamp())),
            "failed" if entry.failed_at else "pending",
            str(entry.attempts),
            Text(entry.last_error or ""),
        )
    print_table(table)
