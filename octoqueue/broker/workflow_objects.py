"""Large values of workflows, as a configuration wants them: refused, or kept as objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.claim_checks import claim_checks_from
from octoqueue.errors import ConfigError
from octoqueue.workflows.claimed_values import with_claimed_values

if TYPE_CHECKING:
    from octoqueue.settings.root import Settings
    from octoqueue.workflows.protocol import WorkflowStore


def with_large_values(store: WorkflowStore, settings: Settings) -> WorkflowStore:
    """Return the store to be used instead of `store`; the same one unless `claim_check` is set.

    Raises:
        ConfigError: values are to be objects, and no `storage.url` is configured.
    """
    rules = settings.workflows
    if rules.over_limit != "claim_check":
        return store
    objects = claim_checks_from(settings, private=True).objects
    if objects is None:
        raise ConfigError(
            "workflows.over_limit is claim_check, and there is no object store",
            key="storage.url",
        )
    return with_claimed_values(store, objects, max_bytes=rules.max_value_bytes)


def largest_value_bytes(settings: Settings) -> int:
    """Return how large an input, an output or a step's result may be."""
    rules = settings.workflows
    if rules.over_limit != "claim_check":
        return rules.max_value_bytes
    return max(rules.max_value_bytes, settings.results.max_object_bytes)
