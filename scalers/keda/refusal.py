"""`refusal`: why nothing can listen on an address, which gRPC does not say."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from octoqueue.errors import ConfigError, PortTaken

if TYPE_CHECKING:
    from octoqueue.errors import OctoqueueError


def refusal(host: str, port: int, *, key: str) -> OctoqueueError:
    """Return the error that says why, after the attempt to listen there has failed.

    Args:
        host: the address, of the key `scaler.host`.
        port: the port.
        key: the key of the port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        return ConfigError(f"scaler.host: {host!r}: {error.strerror}", key="scaler.host")
    with socket.socket(family, kind, protocol) as trial:
        try:
            trial.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                named = key if isinstance(error, PermissionError) else "scaler.host"
                said = f"{named}: cannot listen on {host}:{port}: {error.strerror}"
                return ConfigError(said, key=named)
    return PortTaken(host, port, key=key)
