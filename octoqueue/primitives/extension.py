"""The extension: what the store itself must know of a message beyond its header.

It stands between the header and the body of an envelope that carries `Flag.EXTENDED`:

    offset  size  field
    32      2     size of the entries that follow, in bytes
    34      …     entries: kind (1 byte), length (1 byte), value

    kind        value
    1 unique    mode (1 byte, see `UniqueMode`), digest of the key (16 bytes),
                length of the window in ms (8 bytes, WINDOW only)
    2 flow      digest of everything a message must pass before it may run (8 bytes)
    3 tenant    name
    4 cap       name of a concurrency cap
    5 limit     units it costs (4 bytes), length of the name (1 byte), name, key

Messages with equal flows wait in one line, because whatever holds up one holds up all of them.
Names are UTF-8. All integers are big-endian. `redis/lua/includes/extension.lua` reads the same.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.errors import EnvelopeError, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIZE = struct.Struct(">H")
_ENTRY = struct.Struct(">BB")
_UNIQUE = struct.Struct(">B16s")
_WINDOW = struct.Struct(">Q")
_LIMIT = struct.Struct(">IB")

DIGEST_BYTES = 16
FLOW_BYTES = 8
MOST_NAME_BYTES = 120
"""What fits into an entry twice, with room for its numbers."""
MOST_UNITS = 2**32 - 1
_MOST_BYTES = 2**16 - 1
MOST_WINDOW_MS = 10 * 366 * 86_400_000
"""Ten years."""

_KIND_UNIQUE, _KIND_FLOW, _KIND_TENANT, _KIND_CAP, _KIND_LIMIT = range(1, 6)


class UniqueMode(IntEnum):
    """How long the key of a unique message is taken."""

    STARTED = 1
    """Until it is claimed for the first time."""
    DONE = 2
    """Until it is acked, cancelled, expired or dead."""
    WINDOW = 3
    """For a time that began when it was enqueued, whatever becomes of it."""


class UniqueKey(NamedTuple):
    """A key that only one message may hold at a time."""

    mode: UniqueMode
    digest: bytes
    """blake2b of the key, 16 bytes."""
    window_ms: int = 0
    """WINDOW only: how long the key is taken."""


class LimitUse(NamedTuple):
    """What a message takes out of a rate limit."""

    name: str
    key: str = ""
    """Whose share it is, when the limit holds for each key by itself."""
    units: int = 1


class Extension(NamedTuple):
    """The decoded extension."""

    unique: UniqueKey | None = None
    tenant: str = ""
    caps: tuple[str, ...] = ()
    limits: tuple[LimitUse, ...] = ()

    @property
    def gated(self) -> bool:
        """Whether something may keep the message from running although it is ready."""
        return bool(self.tenant or self.caps or self.limits)

    @property
    def flow(self) -> bytes:
        """The line it waits in: equal for messages that differ in nothing but units and body."""
        line = blake2b(digest_size=FLOW_BYTES)
        names = [self.tenant, *self.caps]
        for use in self.limits:
            names += (use.name, use.key)
        for name in (str(len(self.caps)), *names):
            encoded = name.encode()
            line.update(_SIZE.pack(len(encoded)) + encoded)
        return line.digest()


NO_EXTENSION = Extension()


def unique_digest(key: str) -> bytes:
    """Return the digest under which a unique key is locked."""
    return blake2b(key.encode(), digest_size=DIGEST_BYTES).digest()


def pack_extension(extension: Extension) -> bytes:
    """Return the bytes between header and body.

    Raises:
        InvalidMessage: a name is too long or stands there twice, or the units or the window do not
            fit; names the field.
    """
    _require_distinct("concurrency", extension.caps)
    _require_distinct("limits", [use[:2] for use in extension.limits])
    entries: list[bytes] = []
    if extension.unique is not None:
        entries.append(_entry(_KIND_UNIQUE, _unique(extension.unique)))
    gates: list[bytes] = []
    if extension.tenant:
        gates.append(_entry(_KIND_TENANT, _name("tenant", extension.tenant)))
    gates += [_entry(_KIND_CAP, _name("concurrency", cap)) for cap in extension.caps]
    for use in extension.limits:
        if not 0 <= use.units <= MOST_UNITS:
            raise InvalidMessage("limits", f"{use.units} units are not 0 to {MOST_UNITS}")
        if "\0" in use.name:  # it ends the name where a name and a key are one
            raise InvalidMessage("limits", f"{use.name[:20]!r} has a NUL in its name")
        name = _name("limits", use.name)
        head = _LIMIT.pack(use.units, len(name))
        gates.append(_entry(_KIND_LIMIT, head + name + _name("limits", use.key)))
    if extension.gated:
        entries.append(_entry(_KIND_FLOW, extension.flow))
    block = b"".join(entries + gates)
    if len(block) > _MOST_BYTES:
        raise InvalidMessage("limits", f"caps and limits take {len(block)} bytes together")
    return _SIZE.pack(len(block)) + block


def _require_distinct(field: str, names: Sequence[object]) -> None:
    """Each would pass by itself where all of them together do not."""
    if len(set(names)) < len(names):
        raise InvalidMessage(field, "a message names the same cap, or limit and key, twice")


def _unique(key: UniqueKey) -> bytes:
    packed = _UNIQUE.pack(key.mode, key.digest)
    if key.mode is not UniqueMode.WINDOW:
        return packed
    if not 1 <= key.window_ms <= MOST_WINDOW_MS:
        raise InvalidMessage("unique", f"a window of {key.window_ms} ms is not 1 ms to ten years")
    return packed + _WINDOW.pack(key.window_ms)


def _entry(kind: int, value: bytes) -> bytes:
    return _ENTRY.pack(kind, len(value)) + value


def _name(field: str, name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidMessage(field, f"{name[:20]!r} is no text") from None
    if len(encoded) > MOST_NAME_BYTES:
        shown = f"{name[:20]}…"
        raise InvalidMessage(field, f"{shown!r} is longer than {MOST_NAME_BYTES} bytes")
    return encoded


def extension_size(payload: bytes, *, start: int) -> int:
    """Return how many bytes the extension that begins at `start` takes.

    Raises:
        EnvelopeError: the payload ends before its extension does.
    """
    if len(payload) < start + _SIZE.size:
        raise EnvelopeError("the envelope ends before its extension")
    size: int = _SIZE.size + _SIZE.unpack_from(payload, start)[0]
    if len(payload) < start + size:
        raise EnvelopeError("the envelope ends inside its extension")
    return size


def _unique_from(value: bytes) -> UniqueKey:
    mode, digest = _UNIQUE.unpack_from(value)
    if mode != UniqueMode.WINDOW:
        return UniqueKey(UniqueMode(mode), digest)
    return UniqueKey(UniqueMode.WINDOW, digest, *_WINDOW.unpack_from(value, _UNIQUE.size))


def unpack_extension(payload: bytes, *, start: int) -> Extension:
    """Return the extension that begins at `start`.

    Raises:
        EnvelopeError: it is not whole.
    """
    stop = start + extension_size(payload, start=start)
    at = start + _SIZE.size
    unique: UniqueKey | None = None
    tenant, caps, limits = "", list[str](), list[LimitUse]()
    try:
        while at < stop:
            kind, length = _ENTRY.unpack_from(payload, at)
            at += _ENTRY.size
            value = payload[at : at + length]
            at += length
            if kind == _KIND_UNIQUE:
                unique = _unique_from(value)
            elif kind == _KIND_TENANT:
                tenant = value.decode()
            elif kind == _KIND_CAP:
                caps.append(value.decode())
            elif kind == _KIND_LIMIT:
                units, name_bytes = _LIMIT.unpack_from(value)
                name = value[_LIMIT.size : _LIMIT.size + name_bytes].decode()
                key = value[_LIMIT.size + name_bytes :].decode()
                limits.append(LimitUse(name, key, units))
    except (struct.error, ValueError) as error:
        raise EnvelopeError(f"the extension cannot be decoded: {error}") from None
    if at != stop:
        raise EnvelopeError("an entry of the extension is longer than the extension")
    return Extension(unique, tenant, tuple(caps), tuple(limits))
