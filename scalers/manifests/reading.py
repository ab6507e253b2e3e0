"""YAML files as objects: KEDA's, and of Kubernetes' own what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import yaml
from pydantic import ValidationError

from scalers.manifests.crds import ScaledJob, ScaledObject, TriggerAuthentication
from scalers.manifests.finding import Finding
from scalers.manifests.loose import items_of, mapping_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalers.manifests.model import Piece

_KINDS: dict[str, type[Piece]] = {
    "ScaledObject": ScaledObject,
    "ScaledJob": ScaledJob,
    "TriggerAuthentication": TriggerAuthentication,
    "ClusterTriggerAuthentication": TriggerAuthentication,
}
_WORKLOADS = ("Deployment", "StatefulSet", "ReplicaSet")
_Piece = TypeVar("_Piece", bound="Piece")


@dataclass(frozen=True, slots=True)
class Placed(Generic[_Piece]):
    """An object, and where it stands."""

    piece: _Piece
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """An object of Kubernetes itself: only some fields of it are looked at."""

    kind: str
    namespace: str
    name: str
    spec: Mapping[str, Any]
    source: str


@dataclass(slots=True, kw_only=True)
class Manifests:
    """All that was read."""

    scaled_objects: list[Placed[ScaledObject]] = field(default_factory=list[Placed[ScaledObject]])
    scaled_jobs: list[Placed[ScaledJob]] = field(default_factory=list[Placed[ScaledJob]])
    authentications: list[Placed[TriggerAuthentication]] = field(
        default_factory=list[Placed[TriggerAuthentication]]
    )
    workloads: list[Native] = field(default_factory=list[Native])
    autoscalers: list[Native] = field(default_factory=list[Native])
    findings: list[Finding] = field(default_factory=list[Finding])
    """What could not be read."""

    def workload(self, *, kind: str, namespace: str, name: str) -> Native | None:
        """Return a workload, if it is among what was read."""
        for found in self.workloads:
            if (found.kind, found.namespace, found.name) == (kind, namespace, name):
                return found
        return None


def read_manifests(texts: Mapping[str, str]) -> Manifests:
    """Return the objects of YAML texts by file name; what is broken is a finding."""
    manifests = Manifests()
    for file, text in texts.items():
        try:
            documents = list(yaml.safe_load_all(text))
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            manifests.findings.append(
                Finding(source=file, field="", problem=f"is no YAML ({said})", advice="Mend it")
            )
            continue
        for document in documents:
            if document is not None:
                _put(manifests, document, file)
    return manifests


def _put(manifests: Manifests, document: object, file: str) -> None:
    fields = mapping_of(document)
    kind = fields.get("kind")
    if not isinstance(kind, str):
        manifests.findings.append(
            Finding(
                source=file,
                field="kind",
                problem="a document is no Kubernetes object",
                advice="Give apiVersion, kind and metadata",
            )
        )
        return
    if kind == "List":
        for item in items_of(fields.get("items")):
            _put(manifests, item, file)
        return
    metadata = mapping_of(fields.get("metadata"))
    source = f"{file}: {kind} {metadata.get('name', '?')}"
    if kind in _KINDS:
        _put_keda(manifests, _KINDS[kind], fields, source)
    elif kind in _WORKLOADS or kind == "HorizontalPodAutoscaler":
        native = Native(
            kind=kind,
            namespace=str(metadata.get("namespace", "default")),
            name=str(metadata.get("name", "")),
            spec=mapping_of(fields.get("spec")),
            source=source,
        )
        (manifests.workloads if kind in _WORKLOADS else manifests.autoscalers).append(native)


def _put_keda(
    manifests: Manifests, model: type[Piece], document: dict[str, Any], source: str
) -> None:
    try:
        piece = model.model_validate(document)
    except ValidationError as error:
        manifests.findings.extend(_refusals(error, source))
        return
    if isinstance(piece, ScaledObject):
        manifests.scaled_objects.append(Placed(piece, source))
    elif isinstance(piece, ScaledJob):
        manifests.scaled_jobs.append(Placed(piece, source))
    elif isinstance(piece, TriggerAuthentication):
        manifests.authentications.append(Placed(piece, source))


def _refusals(error: ValidationError, source: str) -> list[Finding]:
    return [
        Finding(
            source=source,
            field=".".join(str(part) for part in problem["loc"]),
            problem=problem["msg"].removeprefix("Value error, "),
            advice="KEDA's API refuses it or drops it, so mend it",
        )
        for problem in error.errors(include_url=False)
    ]
