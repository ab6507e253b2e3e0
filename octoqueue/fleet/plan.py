"""Which processes a configuration asks for, and how each is called. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from octoqueue.fleet.processes import ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.settings.root import Settings

HTTP = "http"
"""The name of the process that serves the HTTP application."""

FleetKind = Literal["worker", "orchestrator"]

SUPERVISED = "--supervised"
"""Tells a child that its standard input is a `Lifeline`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Processes that are alike: workers, or orchestrators."""

    name: str
    kind: FleetKind = "worker"
    modules: tuple[str, ...]
    queues: tuple[str, ...] = ()
    """None: those of the actors in the modules."""
    concurrency: int
    threads: int | None = None
    processes: int = 1

    @property
    def process_names(self) -> tuple[str, ...]:
        """The names of the processes: that of the fleet, numbered from 1 when there are several."""
        if self.processes == 1:
            return (self.name,)
        return tuple(f"{self.name}.{number}" for number in range(1, self.processes + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How this program is called again for a child."""

    call: tuple[str, ...]
    """The interpreter and what makes it run octoqueue."""
    environment: Mapping[str, str]


def fleets_from(
    settings: Settings, modules: Sequence[str] = (), *, kinds: Sequence[FleetKind] = ("worker",)
) -> tuple[Fleet, ...]:
    """Return the fleets to run: one a kind of `modules` if there are any, else those configured.

    A configured fleet without processes belongs to somebody else and is left out.
    """
    runtime = settings.runtime
    if modules:
        return tuple(_fleet_of(tuple(modules), kind, settings) for kind in kinds)
    return tuple(
        Fleet(
            name=name,
            kind=fleet.kind,
            modules=fleet.modules,
            queues=fleet.queues,
            concurrency=fleet.concurrency,
            threads=runtime.threads if fleet.kind == "worker" else None,
            processes=fleet.processes,
        )
        for name, fleet in settings.fleets.items()
        if fleet.processes
    )


def _fleet_of(modules: tuple[str, ...], kind: FleetKind, settings: Settings) -> Fleet:
    if kind == "orchestrator":
        concurrency = settings.workflows.concurrency
        return Fleet(name=kind, kind=kind, modules=modules, concurrency=concurrency)
    runtime = settings.runtime
    return Fleet(
        name=kind, modules=modules, concurrency=runtime.concurrency, threads=runtime.threads
    )


def worker_specs(fleet: Fleet, program: Program) -> tuple[ProcessSpec, ...]:
    """Return the processes of a fleet."""
    command = [*program.call, fleet.kind, *fleet.modules, f"--concurrency={fleet.concurrency}"]
    if fleet.queues:
        command.append(f"--queues={','.join(fleet.queues)}")
    if fleet.threads is not None:
        command.append(f"--threads={fleet.threads}")
    return tuple(
        ProcessSpec(
            name=name,
            command=(*command, f"--name={name}", SUPERVISED),
            environment=program.environment,
        )
        for name in fleet.process_names
    )


def http_spec(program: Program, *, descriptor: int) -> ProcessSpec:
    """Return the process that serves the HTTP application on a socket it inherits."""
    return ProcessSpec(
        name=HTTP,
        command=(*program.call, "serve", f"--fd={descriptor}", f"--name={HTTP}", SUPERVISED),
        environment=program.environment,
        descriptors=(descriptor,),
    )


def needs_postgres(settings: Settings, fleets: Sequence[Fleet]) -> bool:
    """Return whether something here keeps tasks or workflows; bare actors do not."""
    return settings.http.app is not None or any(fleet.kind == "orchestrator" for fleet in fleets)
