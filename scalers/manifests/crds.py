"""ScaledObject, ScaledJob and TriggerAuthentication of KEDA 2.20, as far as they are used here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scalers.manifests.model import Metadata, Piece

if TYPE_CHECKING:
    from octoqueue.scaling.hpa_defaults import BehaviorFields, DirectionFields, RateFields

MetricType = Literal["AverageValue", "Value", "Utilization"]


class AuthenticationRef(Piece):
    """Where a trigger's certificates are."""

    name: str
    kind: Literal["TriggerAuthentication", "ClusterTriggerAuthentication"] = "TriggerAuthentication"


class Trigger(Piece):
    """What KEDA asks."""

    type: str
    name: str | None = None
    metric_type: MetricType | None = None
    use_cached_metrics: bool | None = None
    authentication_ref: AuthenticationRef | None = None
    metadata: dict[str, str]


class Fallback(Piece):
    """What KEDA tells the autoscaler when a trigger failed too often."""

    failure_threshold: int
    replicas: int
    behavior: (
        Literal[
            "static",
            "currentReplicas",
            "currentReplicasIfHigher",
            "currentReplicasIfLower",
            "scalingModifiers",
        ]
        | None
    ) = None


class RatePolicy(Piece):
    """One policy of a direction."""

    type: Literal["Pods", "Percent"]
    value: int
    period_seconds: int

    def fields(self) -> RateFields:
        """Return it as `octoqueue.scaling` reads it."""
        return {"type": self.type, "value": self.value, "periodSeconds": self.period_seconds}


class Direction(Piece):
    """`scaleUp` or `scaleDown`."""

    stabilization_window_seconds: int | None = None
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    tolerance: str | float | None = None
    policies: tuple[RatePolicy, ...] | list[RatePolicy] | None = None

    def fields(self) -> DirectionFields:
        """Return it as `octoqueue.scaling` reads it."""
        fields: DirectionFields = {}
        if self.stabilization_window_seconds is not None:
            fields["stabilizationWindowSeconds"] = self.stabilization_window_seconds
        if self.select_policy is not None:
            fields["selectPolicy"] = self.select_policy
        if self.tolerance is not None:
            fields["tolerance"] = str(self.tolerance)
        if self.policies is not None:
            fields["policies"] = [policy.fields() for policy in self.policies]
        return fields


class BehaviorBlock(Piece):
    """How fast the autoscaler may go."""

    scale_up: Direction | None = None
    scale_down: Direction | None = None

    def fields(self) -> BehaviorFields:
        """Return it as `octoqueue.scaling` reads it."""
        fields: BehaviorFields = {}
        if self.scale_up is not None:
            fields["scaleUp"] = self.scale_up.fields()
        if self.scale_down is not None:
            fields["scaleDown"] = self.scale_down.fields()
        return fields


class AutoscalerConfig(Piece):
    """Of the HorizontalPodAutoscaler that KEDA makes."""

    name: str | None = None
    behavior: BehaviorBlock | None = None


class ScalingModifiers(Piece):
    """A formula over triggers."""

    formula: str | None = None
    target: str | None = None
    activation_target: str | None = None
    metric_type: MetricType | None = None


class Advanced(Piece):
    """What KEDA does beside the loop."""

    restore_to_original_replica_count: bool | None = None
    horizontal_pod_autoscaler_config: AutoscalerConfig | None = None
    scaling_modifiers: ScalingModifiers | None = None


class TargetRef(Piece):
    """What is scaled."""

    name: str
    api_version: str = "apps/v1"
    kind: str = "Deployment"
    env_source_container_name: str | None = None


class ScaledObjectSpec(Piece):
    """The fields that decide; None is KEDA's default."""

    scale_target_ref: TargetRef
    polling_interval: int | None = None
    cooldown_period: int | None = None
    initial_cooldown_period: int | None = None
    idle_replica_count: int | None = None
    min_replica_count: int | None = None
    max_replica_count: int | None = None
    fallback: Fallback | None = None
    advanced: Advanced | None = None
    triggers: list[Trigger]


class ScaledObject(Piece):
    """A workload whose replicas KEDA sets."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec
    status: dict[str, Any] | None = None


class Rollout(Piece):
    """What happens to running jobs when the object changes."""

    strategy: Literal["default", "gradual", "immediate"] | None = None
    propagation_policy: Literal["background", "foreground"] | None = None


class ScalingStrategy(Piece):
    """How many jobs a reading makes."""

    strategy: Literal["default", "custom", "accurate", "eager"] | None = None
    custom_scaling_queue_length_deduction: int | None = None
    custom_scaling_running_job_percentage: str | None = None
    pending_pod_conditions: list[str] | None = None
    multiple_scalers_calculation: Literal["max", "min", "avg", "sum"] | None = None


class JobTarget(Piece):
    """The Job that is made, as Kubernetes knows it."""

    parallelism: int | None = None
    completions: int | None = None
    active_deadline_seconds: int | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    template: dict[str, Any]


class ScaledJobSpec(Piece):
    """The fields that decide; None is KEDA's default."""

    job_target_ref: JobTarget
    polling_interval: int | None = None
    min_replica_count: int | None = None
    max_replica_count: int | None = None
    successful_jobs_history_limit: int | None = None
    failed_jobs_history_limit: int | None = None
    env_source_container_name: str | None = None
    rollout: Rollout | None = None
    scaling_strategy: ScalingStrategy | None = None
    triggers: list[Trigger]


class ScaledJob(Piece):
    """Jobs that KEDA makes as there is work."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledJob"]
    metadata: Metadata
    spec: ScaledJobSpec
    status: dict[str, Any] | None = None


class SecretTarget(Piece):
    """One value of a Secret, under the name that a scaler knows it by."""

    parameter: str
    name: str
    key: str


class TriggerAuthenticationSpec(Piece):
    """Where the values come from."""

    secret_target_ref: list[SecretTarget]


class TriggerAuthentication(Piece):
    """Certificates and keys of triggers."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication", "ClusterTriggerAuthentication"]
    metadata: Metadata
    spec: TriggerAuthenticationSpec
    status: dict[str, Any] | None = None


KedaObject = ScaledObject | ScaledJob | TriggerAuthentication
