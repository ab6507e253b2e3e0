"""Manifests of a configuration, as texts by file name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalers.manifests.objects import scaled_job, scaled_object
from scalers.manifests.permissions import is_given_account, worker_permissions
from scalers.manifests.triggers import AUTHENTICATION_HEADER, authentication
from scalers.manifests.yaml_text import yaml_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalers.manifests.components import Component
    from scalers.manifests.options import Options


def rendered(
    components: Iterable[Component], options: Options, *, as_jobs: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return the text of each file.

    Args:
        components: What is scaled.
        options: How.
        as_jobs: Fleets that are jobs and no Deployment.
    """
    files: dict[str, str] = {}
    if options.is_secured:
        files["trigger-authentication.yaml"] = yaml_text(
            authentication(options), header=AUTHENTICATION_HEADER, comments={}
        )
    components = tuple(components)
    deployed = [part for part in components if part.fleet not in as_jobs]
    if options.tells_cost and any(map(is_given_account, deployed)):
        files["worker-permissions.yaml"] = worker_permissions(options)
    for component in components:
        is_job = component.fleet in as_jobs
        result = (scaled_job if is_job else scaled_object)(component, options)
        kind = "scaled-job" if is_job else "scaled-object"
        files[f"{component.name}.{kind}.yaml"] = yaml_text(
            result.piece, header=result.header, comments=result.comments
        )
    return files


def as_one(files: dict[str, str]) -> str:
    """Return all files as documents of one."""
    return "---\n".join(files.values())
