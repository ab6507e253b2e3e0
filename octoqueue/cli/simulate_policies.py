"""The rules of `octoqueue simulate`: from a file's policy, or from a word like `depth=10`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from octoqueue.errors import ConfigError, ConfigRefused
from octoqueue.scaling.policy import ScalingPolicy
from octoqueue.settings.layer import Layer
from octoqueue.settings.refusals import problems_from
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from
from octoqueue.settings.scaling_rules import ScalingSettings
from octoqueue.settings.yaml_file import read_file

UNNAMED: Final = "simulated"
"""The fleet and the queue of a file that is one section `scaling` and names neither."""


def policy_of(path: Path, *, fleet: str | None, slots: int | None) -> ScalingPolicy:
    """Return the policy of a fleet of a configuration file, or of a section `scaling` by itself.

    The file alone counts: the environment changes no simulation.

    Raises:
        ConfigError: the file is wrong, or says more than one fleet and none was named.
    """
    layer = read_file(Settings, path)
    if _is_section(layer.values):
        name = fleet or UNNAMED
        return policy_from(_settings(_wrapped(layer, path, name, slots or 1)), name)
    settings = _settings(layer)
    return policy_from(settings, fleet or _only_fleet(settings, path))


def _is_section(values: Mapping[str, Any]) -> bool:
    return bool(values) and not set(values) & set(Settings.model_fields)


def _wrapped(layer: Layer, path: Path, fleet: str, slots: int) -> Layer:
    """Return the configuration of one fleet that a section is of, with the section's places."""
    values = layer.values
    above = ("fleets", fleet, "scaling")
    queues = values.get("queues") or [UNNAMED]
    return Layer(
        Settings,
        name="file",
        values={
            "fleets": {
                fleet: {
                    "queues": queues,
                    "modules": [UNNAMED],
                    "concurrency": slots,
                    "scaling": values,
                }
            }
        },
        places={
            (*above, *key): layer.place_of(key) or str(path) for key in ((name,) for name in values)
        },
        problems=layer.problems,
    )


def _settings(layer: Layer) -> Settings:
    sources: dict[str, Any] = {"_build_sources": ((layer,), {})}
    problems = list(layer.problems)
    try:
        settings = Settings(**sources)
    except ValidationError as error:
        problems += problems_from(error, Settings, (layer,))
    else:
        if not problems:
            return settings
    raise ConfigRefused(problems)


def _only_fleet(settings: Settings, path: Path) -> str:
    default = ScalingSettings()
    scaled = [name for name, fleet in settings.fleets.items() if fleet.scaling != default]
    names = scaled or list(settings.fleets)
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names) or "none"
    raise ConfigError(
        f"{path}: which fleet? Name one with --fleet (there are: {listed})", key="fleets"
    )
