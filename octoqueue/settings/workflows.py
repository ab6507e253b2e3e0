"""`WorkflowSettings`: how workflows are divided, kept and bounded."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from octoqueue.settings.quantities import (
    PositiveCount,
    PositiveDuration,
    PositiveSize,
    at_least,
)
from octoqueue.settings.section import Secret, Section
from octoqueue.settings.urls import url_of

ModelTier = Literal["small", "standard", "large"]


class ComplexitySettings(Section):
    """What the steps of executions of one complexity are given, unless they say it themselves."""

    time_limit: PositiveDuration | None = None
    """How long one attempt of a step may run; without a duration, what its actor says."""

    model_tier: ModelTier | None = None
    """The models that actors are to ask; without one, what the actor says."""

    resource_class: Annotated[str | None, Field(max_length=64)] = None
    """The class of resources that the steps' messages ask for, when they name none themselves."""


class LowComplexity(ComplexitySettings):
    """What is easy."""

    time_limit: PositiveDuration | None = timedelta(minutes=1)
    """How long one attempt of a step may run; without a duration, what its actor says."""

    model_tier: ModelTier | None = "small"
    """The models that actors are to ask; without one, what the actor says."""


class MediumComplexity(ComplexitySettings):
    """What says nothing about how hard it is."""

    model_tier: ModelTier | None = "standard"
    """The models that actors are to ask; without one, what the actor says."""


class HighComplexity(ComplexitySettings):
    """What is hard."""

    time_limit: PositiveDuration | None = timedelta(minutes=15)
    """How long one attempt of a step may run; without a duration, what its actor says."""

    model_tier: ModelTier | None = "large"
    """The models that actors are to ask; without one, what the actor says."""


class ComplexityTable(Section):
    """Complexities of executions and what they mean."""

    low: LowComplexity = LowComplexity()
    """What is easy."""

    medium: MediumComplexity = MediumComplexity()
    """What says nothing about it."""

    high: HighComplexity = HighComplexity()
    """What is hard."""


class WorkflowSettings(Section):
    """Durable workflows."""

    partitions: Annotated[PositiveCount, Field(le=1_024)] = 10
    """Slices that executions are divided into, each held by one orchestrator at a time. Changing it
    strands executions that have not ended."""

    lease: Annotated[PositiveDuration, at_least(timedelta(seconds=1))] = timedelta(seconds=4)
    """How long an orchestrator's partitions outlive its last sign of life; then others take
    them."""

    max_value_bytes: Annotated[PositiveSize, Field(le=64 * 2**20)] = 2**20
    """Size of an input, an argument, a result, an output, an event or a signal, at most."""

    over_limit: Literal["refuse", "claim_check"] = "refuse"
    """What becomes of a larger input, result or output: `refuse` raises, `claim_check` puts it into
    the object store, up to `results.max_object_bytes`. All else that is larger is refused."""

    max_steps: PositiveCount = 10_000
    """Steps of one execution, at most; a longer one continues as new."""

    max_in_memory: PositiveCount = 10_000
    """Executions that one orchestrator keeps in memory; others are replayed when something happens
    to them."""

    concurrency: PositiveCount = 32
    """Functions of `ctx.run` that one orchestrator runs at the same time. A fleet has its own."""

    retention: PositiveDuration = timedelta(days=90)
    """How long executions are kept after they have ended."""

    shards: Annotated[
        tuple[Annotated[str, AfterValidator(url_of("postgresql", "postgres"))], ...], Secret()
    ] = Field(default=(), repr=False)
    """Addresses of databases that the partitions are divided over; none: all are in `postgres.url`.
    Changing their number strands executions that have not ended."""

    complexity: ComplexityTable = ComplexityTable()
    """What an execution's complexity gives its steps."""
