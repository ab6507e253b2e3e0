"""`TriggerMetadata`: what a trigger says in its `metadata`, and nothing that nobody understands.

    triggers:
      - type: external
        metadata:
          scalerAddress: octoqueue-scaler.octoqueue.svc:6000   # KEDA's own
          fleet: executor                                      # ours
          maxWorkers: "4"                                      # ours, optional

KEDA sends the whole `metadata` along, its own keys included. A key that neither knows is refused:
a misspelled bound would otherwise hold for nobody and nobody would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from octoqueue.errors import ConfigError
from octoqueue.scaling.override import MOST_WORKERS

if TYPE_CHECKING:
    from collections.abc import Mapping

KEDAS_KEYS: Final = frozenset(
    {
        "scalerAddress",
        "enableTLS",
        "unsafeSsl",
        "caCert",
        "tlsClientCert",
        "tlsClientKey",
        "tlsCertFile",
    }
)
"""What KEDA reads itself; each also as `…FromEnv`."""
OUR_KEYS: Final = ("fleet", "minWorkers", "maxWorkers")
_FROM_ENV: Final = "FromEnv"
_MOST_DIGITS: Final = len(str(MOST_WORKERS))
_MOST_SHOWN: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerMetadata:
    """What a trigger wants to know."""

    fleet: str
    min_workers: int = 0
    """The metric never says less while the fleet is active: for one of several clusters."""
    max_workers: int | None = None
    """The metric never says more."""

    @property
    def metric_name(self) -> str:
        """The name of the fleet's metric; it never changes, as KEDA writes it into the HPA."""
        return f"octoqueue-{self.fleet}-workers"

    def bounded(self, workers: int, *, is_active: bool) -> int:
        """Return a decision within the bounds of this trigger."""
        wanted = max(workers, self.min_workers) if is_active else workers
        return wanted if self.max_workers is None else min(wanted, self.max_workers)


def metadata_from(given: Mapping[str, str]) -> TriggerMetadata:
    """Return what a trigger wants to know.

    Raises:
        ConfigError: a key is unknown, missing or has an impossible value; names it, and the key
            that may have been meant.
    """
    for key in given:
        _require_known(key)
    fleet = _value(given, "fleet")
    if not fleet:
        raise ConfigError("fleet: name the fleet whose workers are scaled", key="fleet")
    least = _count(given, "minWorkers") or 0
    most = _count(given, "maxWorkers")
    if most is not None and most < max(least, 1):
        raise ConfigError(
            f"maxWorkers: {most} must be at least {max(least, 1)}"
            + (" (minWorkers)" if least > 1 else ""),
            key="maxWorkers",
        )
    return TriggerMetadata(fleet=fleet, min_workers=least, max_workers=most)


def _require_known(key: str) -> None:
    plain = key.removesuffix(_FROM_ENV)
    if plain in KEDAS_KEYS or plain in OUR_KEYS:
        return
    near = get_close_matches(key, OUR_KEYS, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(OUR_KEYS)}"
    raise ConfigError(f"metadata has the unknown key {key!r}; {guess}", key=key)


def _value(given: Mapping[str, str], key: str) -> str:
    """Return a value, which KEDA may have resolved from an environment under the same key."""
    return (given.get(key) or given.get(f"{key}{_FROM_ENV}") or "").strip()


def _count(given: Mapping[str, str], key: str) -> int | None:
    text = _value(given, key)
    if not text:
        return None
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    if not is_number or int(text) > MOST_WORKERS:
        shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
        raise ConfigError(
            f"{key}: {shown!r} must be a whole number from 0 to {MOST_WORKERS}", key=key
        )
    return int(text)
