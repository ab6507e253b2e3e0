"""Dead letters as a machine and as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from octoqueue.cli.history_views import history_document, print_history
from octoqueue.cli.moments import local, moment
from octoqueue.cli.output import print_table as print_rows
from octoqueue.cli.queue_views import console_of_answers
from octoqueue.errors import EnvelopeError
from octoqueue.primitives.body_json import json_from
from octoqueue.primitives.envelope import Call, decode_body, unpack_header
from octoqueue.primitives.history import PastAttempt
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import DeadLetter


def call_of(letter: DeadLetter) -> Call | None:
    """Return what a dead letter would call, None when it is no envelope or has another body."""
    try:
        unpack_header(letter.payload)
        return decode_body(letter.payload)
    except EnvelopeError:
        return None


def reason_of(letter: DeadLetter) -> dict[str, Any]:
    """Return why it died: `error`, `message` and what else was kept."""
    try:
        reason: Any = orjson.loads(letter.reason)
    except orjson.JSONDecodeError:
        reason = None
    if isinstance(reason, dict):
        return cast("dict[str, Any]", reason)
    return {"error": None, "message": letter.reason.decode(errors="replace")}


def document(letter: DeadLetter) -> dict[str, Any]:
    """Return what is known of a dead letter; one that cannot be decoded has no arguments."""
    known: dict[str, Any] = {
        "message_id": text_from_id(letter.message_id),
        "queue": letter.queue,
        "died_at": moment(letter.died_at_ms),
        "reason": reason_of(letter),
    }
    call = call_of(letter)
    if call is None:
        return known | {"actor": None, "payload_bytes": len(letter.payload)}
    return known | {"actor": call.actor, "args": call.args, "kwargs": call.kwargs}


def full_document(letter: DeadLetter, history: Sequence[PastAttempt] = ()) -> dict[str, Any]:
    """Return everything there is to know of a dead letter and its earlier attempts."""
    known, call = document(letter) | {"history": history_document(history)}, call_of(letter)
    if call is None:
        return known | {"payload": letter.payload.decode(errors="backslashreplace")}
    header = unpack_header(letter.payload)
    return known | {
        "own_id": call.own_id,
        "options": call.options,
        "encoder": None if call.encoded is None else call.encoded.encoder,
        "lane": header.lane.label,
        "attempt": header.attempt,
        "deliveries": header.deliveries,
        "created_at_ms": call.created_at_ms,
        "payload_bytes": len(letter.payload),
    }


def print_table(letters: Sequence[dict[str, Any]]) -> None:
    """Show documents of dead letters, a line each."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("died", "message", "actor", "reason"):
        table.add_column(header, no_wrap=header != "reason")
    for letter in letters:
        table.add_row(
            local(letter["died_at"]),
            letter["message_id"],
            Text(letter["actor"] or "?"),
            Text(_reason(letter["reason"])),
        )
    print_rows(table)


def print_letter(letter: dict[str, Any]) -> None:
    """Show the full document of one dead letter, a line a field, the traceback last."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    reason = letter["reason"]
    table = Table.grid(padding=(0, 2))
    for name, value in _fields(letter):
        table.add_row(Text(name, style="bold"), Text(value))
    console = console_of_answers()
    console.print(table)
    print_history(letter["history"])
    if reason.get("traceback"):
        console.print()
        console.print(Text(reason["traceback"].rstrip("\n")))


def _fields(letter: dict[str, Any]) -> list[tuple[str, str]]:
    fields = [
        ("message", letter["message_id"]),
        ("queue", letter["queue"]),
        ("died at", local(letter["died_at"])),
        ("error", _reason(letter["reason"])),
    ]
    if letter["actor"] is None:
        size = letter["payload_bytes"]
        return [*fields, ("payload", f"{size} bytes that cannot be decoded: {letter['payload']}")]
    if letter["own_id"] is not None:
        fields.insert(1, ("sent as", letter["own_id"]))
    if letter["encoder"] is not None:
        fields.append(("encoded by", letter["encoder"]))
    return [
        *fields,
        ("actor", letter["actor"]),
        ("args", _json(letter["args"])),
        ("kwargs", _json(letter["kwargs"])),
        ("options", _json(letter["options"])),
        ("lane", letter["lane"]),
        ("attempt", f"{letter['attempt']} (0 is the first)"),
        ("deliveries", f"{letter['deliveries']} lost with their worker"),
    ]


def _reason(reason: dict[str, Any]) -> str:
    return f"{reason.get('error')}: {reason.get('message')}"


def _json(value: object) -> str:
    return json_from(value).decode().strip()
