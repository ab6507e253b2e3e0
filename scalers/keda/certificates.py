"""`Certificates`: the server's certificate from files, read again when they change.

gRPC asks before each handshake; connections that are open go on with what they began with. Files
that do not fit each other, as in the middle of a rotation, are not taken: the old ones stay.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

import grpc

from octoqueue.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """Certificate, key and authorities of clients, as files."""

    def __init__(self, *, certificate: Path, key: Path, client_ca: Path | None = None) -> None:
        """Name the files; with `client_ca` clients must have a certificate of one of them."""
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._taken: _Stamp | None = None
        self._refused: _Stamp | None = None
        self._complaint = ""

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a server listens with.

        Raises:
            ConfigError: a file cannot be read, or they do not fit each other.
        """
        try:
            self._taken = self._stamp()
            first = self._read()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"scaler.certificate: {self._certificate} cannot be used with {self._key}"
                f"{f' and {self._client_ca}' if self._client_ca else ''}: {error}",
                key="scaler.certificate",
            ) from error
        return grpc.dynamic_ssl_server_credentials(
            first,
            self.changed,  # type: ignore[arg-type]  # None, for no change, is documented
            require_client_authentication=self._client_ca is not None,
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is in the files when they have changed; never raises."""
        stamp: _Stamp | None = None
        try:
            stamp = self._stamp()
            if stamp in {self._taken, self._refused}:
                return None
            configuration = self._read()
            if self._stamp() != stamp:
                return None  # changed while it was read: what was read may not fit each other
        except (OSError, ssl.SSLError) as error:
            self._refused = stamp
            self._complain(str(error))
            return None
        self._taken, self._refused, self._complaint = stamp, None, ""
        log.info("certificate_taken", extra={"file": str(self._certificate)})
        return configuration

    def _complain(self, reason: str) -> None:
        """Say what is wrong, once: it would be said again at each connection."""
        if reason != self._complaint:
            self._complaint = reason
            extra = {"file": str(self._certificate), "reason": reason}
            log.warning("certificate_not_taken", extra=extra)

    def _stamp(self) -> _Stamp:
        files = (self._certificate, self._key, *((self._client_ca,) if self._client_ca else ()))
        stats = [file.stat() for file in files]  # follows the links that Kubernetes moves
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trial.load_cert_chain(self._certificate, self._key, password=b"")  # else it would ask
        authorities = None
        if self._client_ca is not None:
            trial.load_verify_locations(self._client_ca)
            authorities = self._client_ca.read_bytes()
        pair = (self._key.read_bytes(), self._certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], authorities)
