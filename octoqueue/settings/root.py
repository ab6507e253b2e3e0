"""`Settings`: the whole configuration of one process.

An entry point calls `Settings.load` once and passes the parts down; nothing else reads a file or
the environment. `Settings(...)` itself reads nothing, so a test gets exactly what it writes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from octoqueue.errors import ConfigRefused
from octoqueue.settings.agent import AgentSettings
from octoqueue.settings.embedded import EmbeddedSettings
from octoqueue.settings.environment import read_environment
from octoqueue.settings.events import EventSettings
from octoqueue.settings.file_choice import find_file
from octoqueue.settings.fleets import FleetSettings
from octoqueue.settings.gates import LimitSettings, TenantSettings
from octoqueue.settings.http import HttpSettings
from octoqueue.settings.kubernetes import KubernetesSettings
from octoqueue.settings.lanes import LaneSettings
from octoqueue.settings.layer import Origin, origin_of
from octoqueue.settings.log import LogSettings
from octoqueue.settings.names import QueueName, ShortName, StoreName
from octoqueue.settings.overrides import read_overrides
from octoqueue.settings.postgres import PostgresSettings
from octoqueue.settings.redis import RedisSettings
from octoqueue.settings.refusals import problems_from
from octoqueue.settings.results import ResultSettings
from octoqueue.settings.runtime import RuntimeSettings
from octoqueue.settings.scaler import ScalerSettings
from octoqueue.settings.section import empty_if_none
from octoqueue.settings.storage import StorageSettings
from octoqueue.settings.workflows import WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from octoqueue.settings.layer import Layer


class Settings(BaseSettings):
    """The configuration of one process, frozen."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    namespace: ShortName = "oq"
    """First part of every key in Redis; installations that share a server need different ones."""

    redis: RedisSettings = RedisSettings()
    """The Redis (or Valkey) server that holds the lanes."""

    postgres: PostgresSettings = PostgresSettings()
    """The PostgreSQL server that holds what must not be lost."""

    embedded: EmbeddedSettings = EmbeddedSettings()
    """The servers that are started where no URL is configured."""

    lanes: LaneSettings = LaneSettings()
    """The lanes of all queues."""

    limits: Annotated[dict[StoreName, LimitSettings], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    """Rate limits, by the name that actors use."""

    tenants: Annotated[dict[StoreName, TenantSettings], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    """Shares of tenants, by name; `default` for those without one of their own."""

    results: ResultSettings = ResultSettings()
    """How large results may be."""

    storage: StorageSettings = StorageSettings()
    """The object store, for what is too large for Redis."""

    events: EventSettings = EventSettings()
    """What messages tell while they run."""

    runtime: RuntimeSettings = RuntimeSettings()
    """How a worker runs messages."""

    workflows: WorkflowSettings = WorkflowSettings()
    """Durable workflows."""

    fleets: Annotated[dict[QueueName, FleetSettings], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    """The workers of each arm, by name."""

    agent: AgentSettings = AgentSettings()
    """Who looks after the fleets on one machine."""

    http: HttpSettings = HttpSettings()
    """The HTTP edge."""

    scaler: ScalerSettings = ScalerSettings()
    """KEDA's external scaler."""

    kubernetes: KubernetesSettings = KubernetesSettings()
    """What workers tell Kubernetes."""

    log: LogSettings = LogSettings()
    """The log of every process."""

    @classmethod
    def load(
        cls,
        path: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Settings:
        """Return the configuration of this process.

        Args:
            path: The file to read; else the one `OCTOQUEUE_CONFIG` names; else `octoqueue.yaml` in
                the working directory, if it is there.
            environ: The environment to read; that of the process when None.
            overrides: Dotted key to value, above everything else; None is an option not given.

        Raises:
            ConfigError: Something is wrong; `ConfigRefused` carries every problem there is.
        """
        return cls.load_explained(path, environ=environ, overrides=overrides).settings

    @classmethod
    def load_explained(
        cls,
        path: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Loaded:
        """Return what `load` returns, and where each value comes from.

        Raises:
            ConfigError: As `load` does.
        """
        environ = os.environ if environ is None else environ
        file = find_file(path, environ)
        layers = (
            read_overrides(cls, overrides or {}),
            read_environment(cls, environ),
            *((_read_file(cls, file),) if file else ()),
        )
        problems = [problem for layer in layers for problem in layer.problems]
        sources: dict[str, Any] = {"_build_sources": (layers, {})}
        try:
            settings = cls(**sources)
        except ValidationError as error:
            problems += problems_from(error, cls, layers)
        else:
            if not problems:
                return Loaded(settings=settings, file=file, layers=layers)
        raise ConfigRefused(problems)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing when the class itself is called: only `load` looks around."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def _read_file(model: type[Settings], path: Path) -> Layer:
    from octoqueue.settings.yaml_file import read_file  # noqa: PLC0415 - loads PyYAML

    return read_file(model, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings together with where they were found."""

    settings: Settings
    file: Path | None
    """The file that was read, None when there was none."""
    layers: tuple[Layer, ...]

    def origin_of(self, path: tuple[str, ...]) -> Origin:
        """Return where the value at `path` comes from."""
        return origin_of(self.layers, path)
