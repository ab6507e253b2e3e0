"""One message as a machine and as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.cli.dead_letter_views import reason_of
from octoqueue.cli.history_views import history_document, print_history
from octoqueue.cli.moments import local, moment
from octoqueue.cli.queue_views import console_of_answers
from octoqueue.errors import EnvelopeError
from octoqueue.lanes.finding import Whereabouts
from octoqueue.primitives.body_json import json_from
from octoqueue.primitives.envelope import decode_body, extension_of, unpack_header
from octoqueue.primitives.extension import Extension
from octoqueue.primitives.history import PastAttempt
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import DeadLetter

if TYPE_CHECKING:
    from rich.table import Table


def place_document(where: Whereabouts) -> dict[str, Any]:
    """Return what a machine is told of where a message is."""
    return {
        "message_id": text_from_id(where.message_id),
        "state": where.state.value,
        "queue": where.queue,
        "lane": None if where.lane is None else where.lane.label,
        "position": where.position,
        "due_at": _moment(where.due_at_ms),
        "worker": where.session,
        "lease_expires_at": _moment(where.lease_expires_at_ms),
        "died_at": _moment(where.died_at_ms),
        "cancelled": where.cancelled,
    }


def document(
    where: Whereabouts,
    *,
    letter: DeadLetter | None = None,
    result: bytes | None = None,
    history: Sequence[PastAttempt] = (),
) -> dict[str, Any]:
    """Return what a machine is told of a message: where it is, what it calls, how it ended."""
    told = place_document(where)
    if where.payload is not None:
        told |= _payload_document(where.payload)
    if letter is not None:
        told["reason"] = reason_of(letter)
    if result is not None:
        told["result"] = orjson.loads(result)
    return told | {"history": history_document(history)}


def _payload_document(payload: bytes) -> dict[str, Any]:
    try:
        header, call, extension = (
            unpack_header(payload),
            decode_body(payload),
            extension_of(payload),
        )
    except EnvelopeError as error:
        shown = payload.decode(errors="backslashreplace")
        return {"undecodable": str(error), "payload": shown, "payload_bytes": len(payload)}
    return {
        "sent_as": call.own_id,
        "actor": call.actor,
        "args": call.args,
        "kwargs": call.kwargs,
        "options": call.options,
        "encoder": None if call.encoded is None else call.encoded.encoder,
        "attempt": header.attempt,
        "deliveries": header.deliveries,
        "created_at": moment(call.created_at_ms),
        "ready_at": moment(header.ready_at_ms) if header.ready_at_ms else None,
        "gates": _gates(extension),
        "unique_until": None if extension.unique is None else extension.unique.mode.name.lower(),
        "payload_bytes": len(payload),
    }


def _gates(extension: Extension) -> list[str]:
    tenant = [f"tenant {extension.tenant}"] if extension.tenant else []
    caps = [f"cap {cap}" for cap in extension.caps]
    limits = [
        f"limit {use.name}" + (f" for {use.key}" if use.key else "") + f" ({use.units} units)"
        for use in extension.limits
    ]
    return tenant + caps + limits


def print_message(told: dict[str, Any]) -> None:
    """Show the document of one message, a line a field, payload and traceback as they are."""
    from rich.text import Text  # noqa: PLC0415 - not for JSON

    console = console_of_answers()
    console.print(_grid(_lines(told)))
    for name in ("args", "kwargs"):
        if told.get(name):
            console.print(Text(f"\n{name}", style="bold"))
            console.print(Text(_indented(told[name])))
    result: dict[str, Any] = told.get("result") or {}
    if "ok" in result:
        console.print(Text("\nresult", style="bold"))
        console.print(Text(_indented(result["ok"])))
    print_history(told["history"])
    trace = (told.get("reason") or result).get("traceback")
    if trace:
        console.print(Text("\n" + trace.rstrip("\n")))


def _lines(told: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [("message", told["message_id"]), ("state", _state(told))]
    for name, label in (
        ("sent_as", "sent as"),
        ("queue", "queue"),
        ("lane", "lane"),
        ("worker", "worker"),
        ("cancelled", "cancelled"),
        ("actor", "actor"),
        ("encoder", "encoder"),
        ("undecodable", "no envelope"),
        ("payload", "payload"),
    ):
        if told.get(name) is not None:
            lines.append((label, str(told[name])))
    failure: dict[str, Any] = told.get("reason") or told.get("result") or {}
    if "error" in failure:
        lines.append(("error", f"{failure['error']}: {failure.get('message')}"))
    if told.get("attempt") is not None:
        lines += [
            ("attempt", f"{told['attempt']} (0 is the first)"),
            ("deliveries", f"{told['deliveries']} lost with their worker"),
            ("sent at", local(told["created_at"])),
        ]
    if told.get("ready_at"):
        lines.append(("ready at", local(told["ready_at"])))
    if told.get("gates"):
        lines.append(("passes", ", ".join(told["gates"])))
    if told.get("unique_until"):
        lines.append(("unique", f"until {told['unique_until']}"))
    if told.get("options"):
        lines.append(("options", json_from(told["options"]).decode()))
    if told.get("payload_bytes") is not None:
        lines.append(("size", f"{told['payload_bytes']:,} bytes"))
    return lines


def _state(told: dict[str, Any]) -> str:
    state: str = told["state"]
    for name, word in (
        ("due_at", "until"),
        ("died_at", "since"),
        ("lease_expires_at", "its lease lasts until"),
    ):
        if told[name] is not None:
            return f"{state}, {word} {local(told[name])}"
    if told["position"] is not None:
        before = told["position"]
        return f"{state}, {before:,} before it" if before else f"{state}, first of its lane"
    return state


def _grid(lines: list[tuple[str, str]]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 2))
    for name, value in lines:
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else moment(milliseconds)


def _indented(value: object) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # what dramatiq's JSON takes and orjson does not
        return json_from(value).decode()
