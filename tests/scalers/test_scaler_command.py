"""`octoqueue scaler` as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest
import yaml

from octoqueue.cli.main import main
from scalers.keda.generated import externalscaler_pb2 as pb
from tests.contract.world import fresh_namespace
from tests.program import ROOT, Program
from tests.scalers.conftest import FLEETS
from tests.scalers.keda import SERVICE, scaled_object

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(redis_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "octoqueue.yaml"
    told = {
        "namespace": fresh_namespace(),
        "redis": {"url": redis_url},
        "fleets": FLEETS,
        "scaler": {"metrics_port": 0},
    }
    file.write_text(yaml.safe_dump(told))
    return file


def test_it_serves_keda_until_it_is_told_to_stop(file: Path) -> None:
    with Program("scaler", "--port", "0", cwd=file.parent, environment={}) as scaler:
        (started,) = scaler.says(r"scaler_started.*\bport=(\d+)")
        with grpc.insecure_channel(f"127.0.0.1:{started[1]}") as channel:
            ask = channel.unary_unary(
                f"/{SERVICE}/GetMetrics",
                pb.GetMetricsRequest.SerializeToString,
                pb.GetMetricsResponse.FromString,
            )
            asked = pb.GetMetricsRequest(scaledObjectRef=scaled_object("judge"))
            (value,) = ask(asked).metricValues
        assert value.metricValue == 2
        scaler.signal(signal.SIGTERM)
        assert scaler.ends() == 0


def test_a_scaler_loads_nothing_that_runs_learns_or_draws() -> None:
    names = "numpy matplotlib dramatiq asyncpg fastapi httpx"
    code = f"import sys, scalers.keda.main; print(*({{*'{names}'.split()}} & {{*sys.modules}}))"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == ""


def test_an_application_that_is_not_there_is_named_with_where_it_comes_from(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOQUEUE_SCALER__APP", "my_scalers.main:serve")
    assert main(["scaler", "--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert "my_scalers" in said
    assert "scaler.app names it" in said
    assert "octoqueue[keda]" in said


def test_what_is_no_async_function_is_refused(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCTOQUEUE_SCALER__APP", "math:floor")
    assert main(["scaler", "--config", str(file)]) == 2
    assert re.search(r"math:floor is no async function .*\(scaler\.app\)", capsys.readouterr().err)


def test_the_module_runs_by_itself_and_says_what_is_missing(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "scalers.keda"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert said.stderr.startswith("scalers.keda: redis.url: name the Redis")
