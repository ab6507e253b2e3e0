"""Which processes a configuration asks for, and how each is called. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from octoqueue.fleet.processes import ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from octoqueue.settings.fleets import FleetSettings
    from octoqueue.settings.root import Settings

HTTP = "http"
"""The name of the process that serves the HTTP application."""

FleetKind = Literal["worker", "orchestrator"]

SUPERVISED = "--supervised"
"""Tells a child that its standard input is a `Lifeline`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elastic:
    """Between what bounds the size of a fleet follows its work."""

    least: int
    most: int


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
    """With how many it begins."""
    elastic: Elastic | None = None
    """None: it stays as it is."""

    @property
    def least(self) -> int:
        """How many it has in any case."""
        return self.processes if self.elastic is None else self.elastic.least

    @property
    def process_names(self) -> tuple[str, ...]:
        """The names of the processes that are always there."""
        return tuple(self.name_of(number) for number in range(1, self.processes + 1))

    def name_of(self, number: int) -> str:
        """Return the name of a process, counted from 1: where one is the rule, its fleet's."""
        return self.name if number == self.processes == 1 else f"{self.name}.{number}"

    def number_of(self, name: str) -> int | None:
        """Return which process has the name, None when none of this fleet does."""
        if name == self.name_of(1):  # which may itself end in a number
            return 1
        last = name.rpartition(".")[2]
        number = int(last) if last.isdecimal() else 1
        return number if number and self.name_of(number) == name else None


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
            elastic=_elastic(name, fleet) if settings.agent.elastic else None,
        )
        for name, fleet in settings.fleets.items()
        if fleet.processes
    )


def _elastic(name: str, fleet: FleetSettings) -> Elastic | None:
    """Return the bounds of a fleet that is to follow its work: one whose scaling is configured.

    The defaults of a component are for a cluster; here the least is what `up` starts anyway.
    """
    if "scaling" not in fleet.model_fields_set:
        return None
    _, most = fleet.scaling.bounds_of(name)
    least = fleet.processes if fleet.scaling.min is None else fleet.scaling.min
    return Elastic(least=least, most=max(least, fleet.processes, most))


def _fleet_of(modules: tuple[str, ...], kind: FleetKind, settings: Settings) -> Fleet:
    if kind == "orchestrator":
        concurrency = settings.workflows.concurrency
        return Fleet(name=kind, kind=kind, modules=modules, concurrency=concurrency)
    runtime = settings.runtime
    return Fleet(
        name=kind, modules=modules, concurrency=runtime.concurrency, threads=runtime.threads
    )


def worker_specs(
    fleet: Fleet, program: Program, *, counted_to: str = ""
) -> tuple[ProcessSpec, ...]:
    """Return the processes of a fleet, for a supervisor.

    Args:
        fleet: what they are.
        program: how this program is called again.
        counted_to: the fleet that they say they are of; none when empty.
    """
    command = _command_of(fleet, program)
    if counted_to:
        command += (f"--fleet={counted_to}",)
    return tuple(
        ProcessSpec(
            name=name,
            command=(*command, f"--name={name}", SUPERVISED),
            environment=program.environment,
        )
        for name in fleet.process_names
    )


def member_spec(fleet: Fleet, program: Program, number: int, *, directory: Path) -> ProcessSpec:
    """Return one process of a fleet, counted from 1, for the agent whose directory it is."""
    name, command = fleet.name_of(number), _command_of(fleet, program)
    return ProcessSpec(
        name=name,
        command=(
            *command,
            f"--name={name}",
            f"--fleet={fleet.name}",
            f"--agent={directory}",
            f"--digest={digest_of(command, program.environment)}",
        ),
        environment=program.environment,
    )


def digest_of(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what changes when processes are to be started otherwise than before."""
    ours = sorted(each for each in environment.items() if each[0].startswith("OCTOQUEUE_"))
    told = "\0".join((*command, *(f"{name}={value}" for name, value in ours)))
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _command_of(fleet: Fleet, program: Program) -> tuple[str, ...]:
    command = [*program.call, fleet.kind, *fleet.modules, f"--concurrency={fleet.concurrency}"]
    if fleet.queues:
        command.append(f"--queues={','.join(fleet.queues)}")
    if fleet.threads is not None:
        command.append(f"--threads={fleet.threads}")
    return tuple(command)


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
