"""What `octoqueue simulate` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """The options of the command; None leaves the choice to the trace or the policy."""

    trace: Path
    rules: tuple[str, ...]
    """Files or rules; the first is what thresholds are for."""
    fleet: str | None = None
    model: str | None = None
    start_up_seconds: float | None = None
    start_up_cv2: float = 0.0
    service_seconds: float | None = None
    service_cv2: float | None = None
    mean_load: float | None = None
    slots: int | None = None
    objective_seconds: float | None = None
    is_kubernetes: bool = True
    sync_seconds: float
    """Between two decisions."""
    forecasts: bool = True
    failures_an_hour: float = 0.0
    lease_seconds: float = 60.0
    outages: tuple[str, ...] = ()
    context_token_seconds: float | None = None
    generated_token_seconds: float | None = None
    cost: float | None = None
    seed: int = 0
    requirements: tuple[str, ...] = ()
    plot: Path | None = None
    shown_decisions: int = 0
    as_json: bool = False
