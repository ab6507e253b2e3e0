"""The wire between `Sandbox` and its launcher: JSON objects, each behind its length."""

from __future__ import annotations

import json
import struct
from typing import Any

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size


def frame_from(value: dict[str, Any]) -> bytes:
    """Return one object as it travels."""
    body = json.dumps(value).encode()
    return _LENGTH.pack(len(body)) + body


def body_length(header: bytes | bytearray) -> int:
    """Return how many bytes follow a header."""
    return int(_LENGTH.unpack(header)[0])


class FrameReader:
    """Cuts a stream of bytes into objects."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes; return the objects that are whole now."""
        self._received += data
        whole: list[dict[str, Any]] = []
        while len(self._received) >= HEADER_BYTES:
            end = HEADER_BYTES + body_length(self._received[:HEADER_BYTES])
            if len(self._received) < end:
                break
            whole.append(json.loads(self._received[HEADER_BYTES:end]))
            del self._received[:end]
        return whole
