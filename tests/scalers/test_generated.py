"""`scalers/keda/generated` is what `make generate` makes of the protocol."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from scalers.keda.generated import externalscaler_pb2 as pb

ROOT = Path(__file__).parents[2]
GENERATED = "scalers/keda/generated"

WIRE = {
    "ScaledObjectRef": {"name": 1, "namespace": 2, "scalerMetadata": 3},
    "IsActiveResponse": {"result": 1},
    "GetMetricSpecResponse": {"metricSpecs": 1},
    "MetricSpec": {"metricName": 1, "targetSize": 2, "targetSizeFloat": 3},
    "GetMetricsRequest": {"scaledObjectRef": 1, "metricName": 2},
    "GetMetricsResponse": {"metricValues": 1},
    "MetricValue": {"metricName": 1, "metricValue": 2, "metricValueFloat": 3},
}
"""The numbers KEDA uses: names do not travel, numbers do."""


def test_what_is_generated_is_what_the_protocol_says(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{GENERATED}=scalers/keda/proto"]
    command += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*command, f"{GENERATED}/externalscaler.proto"], cwd=ROOT, check=True)
    made = sorted((tmp_path / GENERATED).iterdir())
    assert [file.name for file in made] == ["externalscaler_pb2.py", "externalscaler_pb2.pyi"]
    for file in made:
        kept = (ROOT / GENERATED / file.name).read_text()
        assert kept == file.read_text(), f"{file.name} is out of date: make generate"


def test_the_numbers_on_the_wire_are_those_of_keda() -> None:
    messages = pb.DESCRIPTOR.message_types_by_name
    found = {
        name: {field.name: field.number for field in message.fields}
        for name, message in messages.items()
    }
    assert found == WIRE


def test_the_service_has_the_names_and_streams_of_keda() -> None:
    service = pb.DESCRIPTOR.services_by_name["ExternalScaler"]
    assert service.full_name == "externalscaler.ExternalScaler"
    assert {method.name: method.server_streaming for method in service.methods} == {
        "IsActive": False,
        "StreamIsActive": True,
        "GetMetricSpec": False,
        "StreamMetricSpec": True,
        "GetMetrics": False,
    }


def test_the_types_of_numbers_are_those_of_keda() -> None:
    value = pb.MetricValue(metricName="m", metricValue=300, metricValueFloat=1.5)
    assert value.SerializeToString().hex() == "0a016d" + "10ac02" + "19000000000000f83f"
