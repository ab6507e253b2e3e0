"""A component's ScaledObject, or its ScaledJob for long runs, with what to say about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from octoqueue.scaling.behavior import DEFAULT_TOLERANCE
from scalers.manifests.crds import (
    Advanced,
    AutoscalerConfig,
    BehaviorBlock,
    Direction,
    Fallback,
    JobTarget,
    RatePolicy,
    Rollout,
    ScaledJob,
    ScaledJobSpec,
    ScaledObject,
    ScaledObjectSpec,
    ScalingStrategy,
    TargetRef,
)
from scalers.manifests.model import Metadata
from scalers.manifests.permissions import WORKER_ACCOUNT, is_given_account
from scalers.manifests.triggers import cron_floors, measured_by_kubernetes, wanted_workers

if TYPE_CHECKING:
    from octoqueue.scaling.behavior import DirectionRules
    from scalers.manifests.components import Component
    from scalers.manifests.crds import Trigger
    from scalers.manifests.options import Options

POLLING_SECONDS: Final = {"dev": 10, "production": 30}
LEAST_COOLDOWN_SECONDS: Final = {"dev": 60, "production": 300}
FAILURES_BEFORE_FALLBACK: Final = 3
GRACE_BEYOND_DRAIN_SECONDS: Final = 5
EDGE_PRE_STOP_SECONDS: Final = 5
JOB_CLAIMS_SECONDS: Final = 600
JOB_RUN_SECONDS: Final = 4 * 3_600


class Rendered(NamedTuple):
    """An object, and its comments by path."""

    piece: ScaledObject | ScaledJob
    header: str
    comments: dict[str, str]


def scaled_object(component: Component, options: Options) -> Rendered:
    """Return the ScaledObject of a component."""
    least, most = _bounds(component, options)
    cooldown = max(LEAST_COOLDOWN_SECONDS[options.profile], component.drain_seconds)
    triggers, comments = _triggers(component, options)
    behavior = component.policy.behavior
    piece = ScaledObject(
        api_version="keda.sh/v1alpha1",
        kind="ScaledObject",
        metadata=_metadata(component, options),
        spec=ScaledObjectSpec(
            scale_target_ref=TargetRef(name=component.name),
            polling_interval=POLLING_SECONDS[options.profile],
            cooldown_period=cooldown,
            min_replica_count=least,
            max_replica_count=most,
            fallback=Fallback(
                failure_threshold=FAILURES_BEFORE_FALLBACK,
                replicas=max(1, least),
                behavior="currentReplicasIfHigher",
            ),
            advanced=Advanced(
                horizontal_pod_autoscaler_config=AutoscalerConfig(
                    behavior=BehaviorBlock(
                        scale_up=_direction(behavior.up), scale_down=_direction(behavior.down)
                    )
                )
            ),
            triggers=triggers,
        ),
    )
    comments |= {
        "spec.pollingInterval": (
            "How soon a fleet of none is woken; from 1 on the autoscaler asks every 15 s by itself."
        ),
        "spec.cooldownPeriod": (
            "The only brake of the step to none, which no window or rate holds. Not below what a "
            f"worker is given to finish, {component.drain_seconds} s."
        ),
        "spec.fallback": (
            "When signals cannot be read for longer than the scaler holds its last decision: as "
            "many as there are, never fewer. It does not fire while the scaler cannot be reached "
            "at all (KEDA #8056); then the size stays."
        ),
        "spec.advanced.horizontalPodAutoscalerConfig.behavior": (
            "How fast it may go, in full: without this block the autoscaler knows no rate for "
            "shrinking and jumps 1, 4, 8, 16."
        ),
    }
    if not component.may_sleep and component.policy.min_workers == 0:
        comments["spec.minReplicaCount"] = (
            "Not 0, though that is configured: with none of it nobody hears, keeps time or relays."
        )
    if least == 0:
        comments["spec.minReplicaCount"] = (
            "The scaler keeps the fleet active for "
            f"{component.policy.active_for_seconds:g} s after its last work; the cooldown follows."
        )
        if component.policy.min_workers:
            comments["spec.minReplicaCount"] += (
                f" Its configuration must say fleets.{component.fleet}.scaling.min: 0 too: now it "
                f"always wants {component.policy.min_workers}."
            )
    return Rendered(piece, _header(component, options), comments)


def scaled_job(component: Component, options: Options) -> Rendered:
    """Return the ScaledJob of a component, in the place of Deployment and ScaledObject.

    Each job claims for ten minutes, finishes what it has then, and ends. Scaling in takes nothing
    from it.
    """
    _, most = _bounds(component, options)
    trigger, said = wanted_workers(component, options)
    piece = ScaledJob(
        api_version="keda.sh/v1alpha1",
        kind="ScaledJob",
        metadata=_metadata(component, options, suffix="-long"),
        spec=ScaledJobSpec(
            job_target_ref=JobTarget(
                backoff_limit=0,
                active_deadline_seconds=JOB_CLAIMS_SECONDS + JOB_RUN_SECONDS,
                ttl_seconds_after_finished=3_600,
                template=_job_template(component, options),
            ),
            polling_interval=POLLING_SECONDS[options.profile],
            min_replica_count=0,
            max_replica_count=most,
            successful_jobs_history_limit=5,
            failed_jobs_history_limit=5,
            rollout=Rollout(strategy="gradual"),
            scaling_strategy=ScalingStrategy(strategy="default"),
            triggers=[trigger],
        ),
    )
    comments = {
        "spec.jobTargetRef.backoffLimit": (
            "What a job did not finish goes back to its queue by its lease; it is not run again as "
            "a job."
        ),
        "spec.rollout": "Running jobs are left to finish when this object changes.",
        "spec.scalingStrategy": (
            "Wanted minus running. The metric counts what runs, so `accurate` would start jobs "
            "again for it at every poll."
        ),
        "spec.triggers.0": said,
    }
    return Rendered(piece, _job_header(component), comments)


def _metadata(component: Component, options: Options, *, suffix: str = "") -> Metadata:
    pause = options.pause
    annotations: dict[str, str] | None = None
    if isinstance(pause, int):
        annotations = {"autoscaling.keda.sh/paused-replicas": str(pause)}
    elif pause is not None:
        name = "paused" if pause == "all" else f"paused-{pause}"
        annotations = {f"autoscaling.keda.sh/{name}": "true"}
    return Metadata(
        name=f"{component.name}{suffix}",
        namespace=options.namespace,
        labels={"app.kubernetes.io/part-of": "octollm", "octoqueue/fleet": component.fleet},
        annotations=annotations,
    )


def _bounds(component: Component, options: Options) -> tuple[int, int]:
    policy = component.policy
    if not component.may_sleep:
        least = 1 if options.profile == "dev" else max(1, policy.min_workers)
    else:
        least = 0 if options.profile == "dev" else policy.min_workers
    return least, policy.max_workers


def _triggers(component: Component, options: Options) -> tuple[list[Trigger], dict[str, str]]:
    all_of_them = [
        wanted_workers(component, options),
        *cron_floors(component, options),
        *measured_by_kubernetes(component, options),
    ]
    triggers = [trigger for trigger, _ in all_of_them]
    comments: dict[str, str] = {}
    said_before = ""
    for position, (_, said) in enumerate(all_of_them):
        if said != said_before:
            comments[f"spec.triggers.{position}"] = said
        said_before = said
    return triggers, comments


def _direction(rules: DirectionRules) -> Direction:
    is_default = rules.tolerance == DEFAULT_TOLERANCE
    return Direction(
        stabilization_window_seconds=rules.stabilization_window_seconds,
        select_policy=rules.select,
        # A field of Kubernetes 1.35 and later, so only where it says something else.
        tolerance=None if is_default else f"{rules.tolerance:g}",
        policies=[
            RatePolicy(type=policy.kind, value=policy.value, period_seconds=policy.period_seconds)
            for policy in rules.policies
        ],
    )


def _header(component: Component, options: Options) -> str:
    stop, pre_stop = _pre_stop(component)
    grace = stop + component.drain_seconds + GRACE_BEYOND_DRAIN_SECONDS
    measured = [trigger.type for trigger, _ in measured_by_kubernetes(component, options)]
    requests = (
        f"\n  resources.requests: {' and '.join(measured)}, of which the triggers are per cent"
        if measured
        else ""
    )
    return f"""\
How many workers of fleet {component.fleet} there are. Its Deployment, {component.name}, needs:
  spec.replicas: left out, or whoever applies it resets the size
  terminationGracePeriodSeconds: {grace} or more; a worker is given {component.drain_seconds} s
{pre_stop}{_cost_of_deletion(component, options)}{requests}
To pause, annotate this object: autoscaling.keda.sh/paused: "true", or only paused-scale-in or
paused-scale-out; paused-replicas: "4" sets a size first.\
"""


def _pre_stop(component: Component) -> tuple[int, str]:
    """Return what a hook takes from the grace, in seconds, and what to say about it."""
    drain = component.drain_seconds
    if component.runs_messages:
        return drain, (
            f"  lifecycle.preStop: exec [octoqueue, drain, --for, {drain}s], which has it claim\n"
            "    nothing more and waits for what runs; a longer time takes as much more grace"
        )
    if component.policy.queues:
        return 0, "  lifecycle.preStop: none; it drains on SIGTERM"
    stop = EDGE_PRE_STOP_SECONDS
    return stop, (
        f"  lifecycle.preStop: sleep {stop}, until nobody is routed here any more; within the grace"
    )


def _cost_of_deletion(component: Component, options: Options) -> str:
    if not (component.runs_messages and options.tells_cost):
        return ""
    if not is_given_account(component):
        return f"""
  serviceAccountName: not {WORKER_ACCOUNT}, as what it runs must not patch pods"""
    return f"""
  serviceAccountName: {WORKER_ACCOUNT}, so that idle pods are deleted first
  env: OCTOQUEUE_KUBERNETES__POD from fieldRef metadata.name"""


def _job_header(component: Component) -> str:
    return f"""\
Fleet {component.fleet} as jobs, for runs that are too long for a grace period. This takes the place
of the Deployment {component.name} and its ScaledObject: never apply both for one fleet. A job runs
one message at a time, so set fleets.{component.fleet}.concurrency to 1, or too few are wanted.
Give the container what that of the Deployment has: configuration, secrets, resources.\
"""


def _job_template(component: Component, options: Options) -> dict[str, Any]:
    queues = ",".join(component.policy.queues)
    return {
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": JOB_RUN_SECONDS,
            "containers": [
                {
                    "name": "worker",
                    "image": options.image,
                    "command": [
                        "timeout",
                        "--preserve-status",
                        "--signal=TERM",
                        str(JOB_CLAIMS_SECONDS),
                    ],
                    "args": [
                        "octoqueue",
                        "worker",
                        *component.modules,
                        "--queues",
                        queues,
                        "--concurrency",
                        "1",
                        "--fleet",
                        component.fleet,
                    ],
                    "env": [
                        {
                            "name": "OCTOQUEUE_RUNTIME__DRAIN",
                            "value": f"{JOB_RUN_SECONDS // 3_600}h",
                        }
                    ],
                }
            ],
        }
    }
