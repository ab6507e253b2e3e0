"""`RedisSettings`: where messages wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from octoqueue.settings.quantities import PositiveCount, PositiveDuration
from octoqueue.settings.section import Secret, Section, Variable
from octoqueue.settings.urls import url_of

_SCHEMES: Final = ("redis", "rediss", "unix")


class RedisSettings(Section):
    """The Redis (or Valkey) server that holds the lanes."""

    url: Annotated[
        str | None,
        AfterValidator(url_of(*_SCHEMES)),
        Secret(),
        Variable("OCTOQUEUE_REDIS_URL"),
    ] = Field(default=None, repr=False)
    """Address of the server: `redis://`, `rediss://` (TLS) or `unix://`. Without one, a private
    Redis is started on this machine."""

    topology: Literal["single", "cluster"] = "single"
    """`single` serves all partitions with one script call; `cluster` calls once per partition."""

    pipelining: bool = True
    """Commands to a single server share one connection, on which none waits for the answer of
    another; what waits for messages has one of its own. Off, and on a cluster, each command borrows
    a connection from a pool, which costs a multiple of the CPU."""

    pool_size: PositiveCount = 32
    """Connections of that pool, at most."""

    connect_timeout: PositiveDuration = timedelta(seconds=5)
    """How long a connection may take to be made."""

    command_timeout: PositiveDuration = timedelta(seconds=5)
    """How long an answer may take before the server counts as unavailable. A call that waits for
    messages waits this much longer."""

    @field_validator("topology")
    @classmethod
    def _a_cluster_is_somewhere(cls, topology: str, info: ValidationInfo) -> str:
        if topology == "cluster" and info.data.get("url", "refused already") is None:
            raise ValueError("cluster needs redis.url: the private Redis is a single server")
        return topology
