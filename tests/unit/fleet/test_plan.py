"""Which processes a configuration asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from octoqueue.fleet.plan import (
    Elastic,
    Fleet,
    Program,
    fleets_from,
    http_spec,
    member_spec,
    needs_postgres,
    worker_specs,
)
from octoqueue.settings.agent import AgentSettings
from octoqueue.settings.fleets import FleetSettings
from octoqueue.settings.http import HttpSettings
from octoqueue.settings.root import Settings
from octoqueue.settings.runtime import RuntimeSettings
from octoqueue.settings.scaling_rules import ScalingSettings

PROGRAM = Program(call=("python", "-m", "octoqueue"), environment={"A": "1"})


def settings_with(**fleets: FleetSettings) -> Settings:
    return Settings(fleets=fleets, runtime=RuntimeSettings(concurrency=7, threads=3))


def test_a_fleet_becomes_as_many_processes_as_it_says() -> None:
    settings = settings_with(
        coder=FleetSettings(
            queues=("coder", "review"), modules=("app.a", "app.b"), concurrency=5, processes=2
        )
    )
    (fleet,) = fleets_from(settings)
    first, second = worker_specs(fleet, PROGRAM)
    assert (first.name, second.name) == fleet.process_names == ("coder.1", "coder.2")
    assert first.environment == {"A": "1"}
    assert " ".join(first.command) == (
        "python -m octoqueue worker app.a app.b --concurrency=5 --queues=coder,review "
        "--threads=3 --name=coder.1 --supervised"
    )


def test_a_single_process_has_the_name_of_its_fleet() -> None:
    (fleet,) = fleets_from(settings_with(coder=FleetSettings(queues=("c",), modules=("app",))))
    assert [spec.name for spec in worker_specs(fleet, PROGRAM)] == ["coder"]


def test_a_fleet_without_processes_is_left_to_somebody_else() -> None:
    none = FleetSettings(queues=("c",), modules=("app",), processes=0)
    assert fleets_from(settings_with(coder=none)) == ()


def test_modules_stand_in_for_the_configured_fleets() -> None:
    settings = settings_with(coder=FleetSettings(queues=("coder",), modules=("app",)))
    assert fleets_from(settings, ["mine.actors"]) == (
        Fleet(name="worker", modules=("mine.actors",), concurrency=7, threads=3),
    )


def test_modules_with_workflows_have_an_orchestrator_too() -> None:
    worker, orchestrator = fleets_from(Settings(), ["shop"], kinds=("worker", "orchestrator"))
    (spec,) = worker_specs(orchestrator, PROGRAM)
    assert worker.process_names == ("worker",)
    assert " ".join(spec.command) == (
        "python -m octoqueue orchestrator shop --concurrency=32 --name=orchestrator --supervised"
    )


def test_orchestrators_are_a_fleet_of_their_own_kind_and_keep_workflows_in_postgres() -> None:
    settings = settings_with(
        flows=FleetSettings(kind="orchestrator", modules=("app.flows",), concurrency=5, processes=2)
    )
    (fleet,) = fleets_from(settings)
    first, _ = worker_specs(fleet, PROGRAM)
    assert " ".join(first.command) == (
        "python -m octoqueue orchestrator app.flows --concurrency=5 --name=flows.1 --supervised"
    )
    assert needs_postgres(settings, [fleet])
    assert not needs_postgres(settings, [])


def test_the_application_inherits_its_socket() -> None:
    spec = http_spec(PROGRAM, descriptor=9)
    assert spec.descriptors == (9,)
    assert "--fd=9" in spec.command


def test_tasks_are_kept_only_where_an_application_takes_them() -> None:
    assert not needs_postgres(Settings(), [])
    assert needs_postgres(Settings(http=HttpSettings(app="app.web:create")), [])


def test_only_a_fleet_whose_scaling_is_configured_is_elastic() -> None:
    mine = FleetSettings(
        queues=("a",), modules=("app",), processes=2, scaling=ScalingSettings(max=5)
    )
    fixed = FleetSettings(queues=("b",), modules=("app",), processes=3)
    first, second = fleets_from(settings_with(mine=mine, fixed=fixed))
    assert (first.elastic, first.least) == (Elastic(least=2, most=5), 2)
    assert (second.elastic, second.least) == (None, 3)
    none = settings_with(mine=mine).model_copy(update={"agent": AgentSettings(elastic=False)})
    assert fleets_from(none)[0].elastic is None


def test_the_least_of_an_elastic_fleet_is_what_is_configured_and_not_what_a_cluster_has() -> None:
    guardian = FleetSettings(queues=("g",), modules=("app",), scaling=ScalingSettings())
    (fleet,) = fleets_from(settings_with(guardian=guardian))
    assert fleet.elastic == Elastic(least=1, most=10)
    to_none = guardian.model_copy(update={"scaling": ScalingSettings(min=0)})
    (fleet,) = fleets_from(settings_with(guardian=to_none))
    assert fleet.elastic == Elastic(least=0, most=10)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_number_of_a_process_is_in_its_name(processes: int) -> None:
    fleet = Fleet(name="a.b", modules=("app",), concurrency=1, processes=processes)
    for number in (1, 2, 12):
        assert fleet.number_of(fleet.name_of(number)) == number
    assert fleet.number_of("other.2") is None
    assert fleet.number_of("a.b.0") is None
    assert fleet.number_of("a.b.1" if processes == 1 else "a.b") is None


def test_a_member_is_told_its_agent_and_what_it_was_started_with() -> None:
    fleet = Fleet(name="coder", modules=("app",), queues=("c",), concurrency=5)
    one = member_spec(fleet, PROGRAM, 2, directory=Path("/place"))
    assert one.name == "coder.2"
    assert "--fleet=coder --agent=/place --digest=" in " ".join(one.command)
    other = Program(call=PROGRAM.call, environment={"OCTOQUEUE_REDIS_URL": "redis://other"})
    unrelated = Program(call=PROGRAM.call, environment={"A": "2"})
    assert member_spec(fleet, unrelated, 2, directory=Path("/place")).command == one.command
    assert member_spec(fleet, other, 2, directory=Path("/place")).command != one.command


def test_workers_by_hand_can_count_to_a_fleet() -> None:
    crew = Fleet(name="worker", modules=("app",), concurrency=5)
    (spec,) = worker_specs(crew, PROGRAM, counted_to="coder")
    assert "--fleet=coder" in spec.command


def test_a_fleet_whose_name_ends_in_a_number_knows_its_own_processes() -> None:
    fleet = Fleet(name="model.2", modules=("a",), concurrency=1)
    assert [fleet.number_of(fleet.name_of(number)) for number in (1, 2, 3)] == [1, 2, 3]
    assert fleet.number_of("model") is None
