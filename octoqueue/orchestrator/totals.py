"""`OrchestratorTotals`: what one orchestrator did since it began."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True, kw_only=True)
class OrchestratorTotals:
    """Counters that only grow, except where it says otherwise."""

    letters: int = 0
    """Letters opened."""
    turns: int = 0
    """Turns committed."""
    steps: int = 0
    """Rows of steps in them, begun or ended."""
    writes: int = 0
    """Transactions that committed them."""
    largest_group: int = 0
    """Turns in the largest of them."""
    begun: int = 0
    """Executions begun."""
    ended: int = 0
    """Executions ended here."""
    replays: int = 0
    """Executions brought back from their journals."""
    evicted: int = 0
    """Executions thrown out of memory for others."""
    blocked: int = 0
    """Executions parked because their code is missing, does not fit, or is broken."""
    sent: int = 0
    """Messages of steps sent."""
    resent: int = 0
    """Messages sent again because nobody knew whether they were there."""
    functions: int = 0
    """Attempts of RUN steps."""
    timers: int = 0
    """Timers that rang."""
    lost: int = 0
    """Turns that were not written, or whose effects were not sent, because their partition belongs
    to another orchestrator by then."""
    taken: int = 0
    """Partitions taken."""
    reconciled: int = 0
    """Partitions looked through for what has no message, timer or letter."""

    def since(self, before: OrchestratorTotals) -> dict[str, int]:
        """Return what has grown since, by name."""
        grown = {
            each.name: getattr(self, each.name) - getattr(before, each.name)
            for each in fields(self)
        }
        return {name: count for name, count in grown.items() if count}
