"""Which processes a configuration asks for."""

from __future__ import annotations

from octoqueue.fleet.plan import (
    Fleet,
    Program,
    fleets_from,
    http_spec,
    needs_postgres,
    worker_specs,
)
from octoqueue.settings.fleets import FleetSettings
from octoqueue.settings.http import HttpSettings
from octoqueue.settings.root import Settings
from octoqueue.settings.runtime import RuntimeSettings

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
