"""`ScalerSettings`: KEDA's external scaler."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from octoqueue.settings.names import ImportTarget
from octoqueue.settings.quantities import Count, Duration, PositiveDuration
from octoqueue.settings.section import Section


def _at_home(path: Path | None) -> Path | None:
    return path.expanduser() if path else None


PemFile = Annotated[Path | None, AfterValidator(_at_home)]


class ScalerSettings(Section):
    """The gRPC server that tells KEDA how many workers each fleet wants."""

    app: ImportTarget = "scalers.keda.main:serve"
    """What `octoqueue scaler` runs: an async function that is given the settings."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. `0.0.0.0` lets KEDA in."""

    port: Annotated[Count, Field(le=65_535)] = 6_000
    """Port to listen on; 0 takes a free one."""

    metrics_port: Annotated[Count, Field(le=65_535)] | None = 9_464
    """Port of `/metrics` on the same address; 0 takes a free one, `null` serves none."""

    certificate: PemFile = None
    """PEM file of the server's certificate and its chain. With it and `key`, only TLS is spoken.
    Files that change are read again for the next connection."""

    key: PemFile = None
    """PEM file of the certificate's private key."""

    client_ca: PemFile = None
    """PEM file of the authorities of clients. With it, a client without a certificate of one of
    them is refused; KEDA offers no other authentication."""

    budget: PositiveDuration = timedelta(seconds=2)
    """What any call may take. KEDA sets no deadline, and a call that hangs stops its loop."""

    hold: Duration = timedelta(minutes=2)
    """For how long the last good decision is answered while signals cannot be read; then it is an
    error, and KEDA's `fallback` counts it."""

    fresh_for: Duration = timedelta(seconds=1)
    """For how long a decision answers further calls for its fleet without reading again."""

    watch_every: PositiveDuration = timedelta(seconds=2)
    """How often an idle fleet is looked at for a trigger of the type `external-push`."""

    drain: Duration = timedelta(seconds=5)
    """What calls under way may take when the server stops."""

    @field_validator("key", "client_ca")
    @classmethod
    def _goes_with_a_certificate(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("certificate")
        if info.field_name == "key" and certificate is not None and path is None:
            raise ValueError("certificate needs its key")
        if path is not None and "certificate" in info.data and certificate is None:
            raise ValueError("needs a certificate beside it")
        return path
