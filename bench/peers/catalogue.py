"""Who is compared, how each is tuned, and what each can do.

The tuning is what its documentation or a look into its source offers for the load at hand, and what
was quicker here when tried; suggestions that make one faster are welcome. Of every queue the
version in `requirements/` is measured, installed by `make bench-peers`.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers.rulers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HERE = Path(__file__).resolve().parent
OURS, BARE, PING = "octoqueue", "bare loop", "bare PING"

_ASYNC = frozenset({"drain", "latency", "io", "each", "together"})
_SYNC = frozenset({"drain", "sync", "latency", "io", "each"})


def _at_once(most: int) -> dict[str, int]:
    return {"concurrency": most}


def _threads(count: int, **more: int) -> dict[str, int]:
    return {"threads": count} | more


def _peer(
    name: str,
    adapter: str,
    can: frozenset[str],
    *,
    rates: tuple[int, int],
    order: Mapping[str, object],
    tuning: str,
    naps: Mapping[str, object] | None = None,
    ranks: Mapping[str, object] | None = None,
) -> Peer:
    drains, sends = rates
    own = _HERE / ".venv" / adapter.removeprefix("with_") / "bin" / "python"
    return Peer(
        name=name,
        adapter=adapter,
        python=str(own) if own.exists() else sys.executable,
        can=can,
        drains=drains,
        sends=sends,
        tuning=tuning,
        order=order,
        naps=naps or order,
        ranks=ranks or order,
    )


EVERYONE = (
    _peer(
        OURS,
        "with_octoqueue",
        _ASYNC | {"sync", "priority", "bulk"},
        rates=(60_000, 6_000),
        order=_at_once(100),
        naps=_at_once(500),
        tuning="defaults, everything on; 500 slots for I/O",
    ),
    _peer(
        BARE,
        "with_bare_loop",
        frozenset({"drain", "each", "bulk"}),
        rates=(60_000, 8_000),
        order={},
        tuning="the physical limit: redis-py, one list, Lua claim, batched ack",
    ),
    _peer(
        PING,
        "with_bare_loop",
        frozenset({"each"}),
        rates=(1, 8_000),
        order={"ping": True},
        tuning="redis-py's own PING, awaited one by one",
    ),
    _peer(
        "dramatiq, stock",
        "with_dramatiq",
        _SYNC | {"priority"},
        rates=(2_000, 6_000),
        order=_threads(8),
        naps=_threads(500),
        tuning="8 threads as by default, 500 for I/O; urgent ones in a queue of their own",
    ),
    _peer(
        "dramatiq, tuned",
        "with_dramatiq",
        _SYNC,
        rates=(4_000, 6_000),
        order=_threads(8, prefetch=500),
        naps=_threads(500, prefetch=1_000),
        tuning="dramatiq_queue_prefetch=500, and 1,000 for I/O",
    ),
    _peer(
        "dramatiq, one thread",
        "with_dramatiq",
        frozenset({"drain", "sync", "each"}),
        rates=(5_000, 6_000),
        order=_threads(1, prefetch=500),
        tuning="the same without threads that fight for the interpreter: for no-ops only",
    ),
    _peer(
        "taskiq, list",
        "with_taskiq",
        _ASYNC | {"sync"},
        rates=(3_000, 3_000),
        order=_at_once(100),
        naps=_at_once(500),
        tuning="orjson, uvloop, no results, no validation, prefetch as wide as concurrency",
    ),
    _peer(
        "taskiq, stream",
        "with_taskiq",
        _ASYNC | {"sync"},
        rates=(3_000, 3_000),
        order=_at_once(100) | {"stream": True},
        naps=_at_once(500) | {"stream": True},
        tuning="the same; 100 entries a read as by default",
    ),
    _peer(
        "celery",
        "with_celery",
        _SYNC | {"priority"},
        rates=(1_500, 1_500),
        order=_threads(8, prefetch=64),
        naps=_threads(500, prefetch=4),
        ranks=_threads(1, prefetch=1, priorities=True),
        tuning="threads, no results, no gossip, mingle, heartbeat; early acks as by default",
    ),
    _peer(
        "arq",
        "with_arq",
        _ASYNC,
        rates=(2_000, 4_000),
        order=_at_once(100),
        naps=_at_once(500),
        tuning="uvloop, polls every 10 ms, results and log lines off",
    ),
    _peer(
        "saq",
        "with_saq",
        _ASYNC,
        rates=(2_000, 4_000),
        order=_at_once(100),
        naps=_at_once(500),
        tuning="uvloop, results forgotten, no timeouts",
    ),
    _peer(
        "huey",
        "with_huey",
        _SYNC | {"priority"},
        rates=(4_000, 12_000),
        order=_threads(4),
        naps=_threads(500),
        ranks=_threads(1, priorities=True),
        tuning="4 threads, 500 for I/O, no results; a sorted set only where there are priorities",
    ),
    _peer(
        "rq",
        "with_rq",
        frozenset({"drain", "sync", "priority", "each", "bulk"}),
        rates=(400, 1_500),
        order={},
        tuning="SimpleWorker (no fork a job), no results; one at a time: not for I/O and 300/s",
    ),
    _peer(
        "streaq",
        "with_streaq",
        _ASYNC | {"sync", "priority", "bulk"},
        rates=(1_500, 3_000),
        order=_at_once(100) | {"prefetch": 100},
        naps=_at_once(500) | {"prefetch": 500},
        ranks=_at_once(8) | {"prefetch": 1},
        tuning="uvloop, no results, no log line a task",
    ),
    _peer(
        "BullMQ",
        "with_bullmq",
        _ASYNC | {"priority", "bulk"},
        rates=(10_000, 10_000),
        order=_at_once(100),
        naps=_at_once(500),
        ranks=_at_once(1),
        tuning="finished jobs removed at once",
    ),
)


def is_installed(peer: Peer) -> bool:
    """Return whether a peer can be run here."""
    if peer.adapter == "with_bullmq":
        return shutil.which("node") is not None and (_HERE / ".node" / "node_modules").is_dir()
    return peer.name in {OURS, BARE, PING} or peer.python != sys.executable


def version(peer: Peer) -> str:
    """Return the pinned version of a peer; nothing for ours and the references."""
    if peer.adapter == "with_bullmq":
        wanted = json.loads((_HERE / "package.json").read_text(encoding="utf-8"))
        return str(wanted["dependencies"]["bullmq"])
    name = peer.adapter.removeprefix("with_")
    pins = _HERE / "requirements" / f"{name}.txt"
    if not pins.exists():
        return ""
    found = re.search(rf"^{name}==(\S+)", pins.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, pins
    return found[1]


def chosen(names: Iterable[str]) -> list[Peer]:
    """Return who is compared: ours, the references, and the peers whose names begin like one given.

    Raises:
        ValueError: no peer is called so.
    """
    words = [name.lower() for name in names]
    for word in words:
        if not any(peer.name.lower().startswith(word) for peer in EVERYONE):
            raise ValueError(
                f"there is no {word!r}, only {', '.join(peer.name for peer in EVERYONE)}"
            )
    references = {OURS, BARE, PING}
    return [
        peer
        for peer in EVERYONE
        if peer.name in references
        or not words
        or any(peer.name.lower().startswith(word) for word in words)
    ]
