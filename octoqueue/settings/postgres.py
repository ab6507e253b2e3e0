"""`PostgresSettings`: where the state of tasks is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from octoqueue.settings.quantities import Count, PositiveCount, PositiveDuration
from octoqueue.settings.section import Secret, Section, Variable
from octoqueue.settings.urls import url_of

_SCHEMES: Final = ("postgresql", "postgres")


class PostgresSettings(Section):
    """The PostgreSQL server that holds what must not be lost."""

    url: Annotated[
        str | None,
        AfterValidator(url_of(*_SCHEMES)),
        Secret(),
        Variable("OCTOQUEUE_POSTGRES_URL"),
    ] = Field(default=None, repr=False)
    """Address of the database: `postgresql://user:password@host/database`. Without one, a private
    PostgreSQL is started on this machine."""

    pool_min: Count = 1
    """Connections that one process keeps open. A fleet of many processes multiplies it."""

    pool_max: PositiveCount = 10
    """Connections of one process, at most. The processes together must stay below the server's
    `max_connections`."""

    connect_timeout: PositiveDuration = timedelta(seconds=5)
    """How long a connection may take to be made, or to come free in the pool."""

    statement_timeout: PositiveDuration = timedelta(seconds=5)
    """How long one statement may run before the server cancels it."""

    idle_timeout: PositiveDuration = timedelta(minutes=5)
    """How long a connection above `pool_min` may lie idle before it is closed."""

    @field_validator("pool_max")
    @classmethod
    def _holds_the_minimum(cls, pool_max: int, info: ValidationInfo) -> int:
        pool_min = info.data.get("pool_min", 0)
        if pool_max < pool_min:
            raise ValueError(f"must be at least pool_min ({pool_min})")
        return pool_max
