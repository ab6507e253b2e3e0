"""What worker pods may do in the cluster: annotate pods with what deleting them would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scalers.manifests.model import Metadata, Piece
from scalers.manifests.yaml_text import yaml_text

if TYPE_CHECKING:
    from scalers.manifests.components import Component
    from scalers.manifests.options import Options

WORKER_ACCOUNT = "octoqueue-worker"
"""Name of the ServiceAccount, of its Role and of the RoleBinding between them."""

RUNS_FOREIGN_CODE = frozenset({"executor"})
"""Fleets of the reference that must not have it."""

_RBAC = "rbac.authorization.k8s.io"

_HEADER = """\
What the pods of workers need to say what deleting them would cost, by the annotation
controller.kubernetes.io/pod-deletion-cost: the verb patch, and no other. Kubernetes cannot limit
it to the own pod, and who may patch pods may give another image to any of this namespace: no
account for a fleet that runs code of strangers. Without it a worker says once what is missing,
and goes on. Not wanted at all: kubernetes.pod_deletion_cost: "off" in the configuration.\
"""


class ServiceAccount(Piece):
    """Who a pod is towards the API."""

    api_version: Literal["v1"]
    kind: Literal["ServiceAccount"]
    metadata: Metadata


class PolicyRule(Piece):
    """Verbs on resources."""

    api_groups: list[str]
    resources: list[str]
    verbs: list[str]


class Role(Piece):
    """Rules of one namespace."""

    api_version: Literal["rbac.authorization.k8s.io/v1"]
    kind: Literal["Role"]
    metadata: Metadata
    rules: list[PolicyRule]


class RoleRef(Piece):
    """Which role."""

    api_group: str
    kind: str
    name: str


class Subject(Piece):
    """Who has it."""

    kind: str
    name: str
    namespace: str


class RoleBinding(Piece):
    """Who has which role."""

    api_version: Literal["rbac.authorization.k8s.io/v1"]
    kind: Literal["RoleBinding"]
    metadata: Metadata
    role_ref: RoleRef
    subjects: list[Subject]


def is_given_account(component: Component) -> bool:
    """Whether the pods of a component may patch pods."""
    return component.runs_messages and component.fleet not in RUNS_FOREIGN_CODE


def worker_permissions(options: Options) -> str:
    """Return ServiceAccount, Role and RoleBinding of workers, as one file."""
    metadata = Metadata(
        name=WORKER_ACCOUNT,
        namespace=options.namespace,
        labels={"app.kubernetes.io/part-of": "octollm"},
    )
    account = ServiceAccount(api_version="v1", kind="ServiceAccount", metadata=metadata)
    role = Role(
        api_version="rbac.authorization.k8s.io/v1",
        kind="Role",
        metadata=metadata,
        rules=[PolicyRule(api_groups=[""], resources=["pods"], verbs=["patch"])],
    )
    binding = RoleBinding(
        api_version="rbac.authorization.k8s.io/v1",
        kind="RoleBinding",
        metadata=metadata,
        role_ref=RoleRef(api_group=_RBAC, kind="Role", name=WORKER_ACCOUNT),
        subjects=[Subject(kind="ServiceAccount", name=WORKER_ACCOUNT, namespace=options.namespace)],
    )
    texts = [yaml_text(account, header=_HEADER, comments={})]
    texts += [yaml_text(piece, comments={}) for piece in (role, binding)]
    return "---\n".join(texts)
