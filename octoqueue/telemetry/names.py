"""The one table of metric and label names.

The prefix is `octollm` by default, so that the names in the platform's scaling guide hold exactly:
`octollm_task_queue_depth`, and `octollm_executor_queue_depth` and its siblings, one a queue.
Base units are seconds; outcomes are a label, not a metric each.

| metric | type | labels | meaning |
|---|---|---|---|
| `task_queue_depth` | gauge | component | messages waiting in the queue of a component |
| `<queue>_queue_depth` | gauge | | the same, by the name the scaling guide uses |
| `queue_messages_waiting` | gauge | queue, lane | messages waiting |
| `queue_messages_delayed` | gauge | queue | messages that are not due yet |
| `queue_messages_in_flight` | gauge | queue | messages leased by workers |
| `queue_dead_letters` | gauge | queue | messages among the dead letters |
| `queue_oldest_age_seconds` | gauge | queue | age of the oldest waiting message |
| `queue_messages_total` | counter | queue, outcome | moves: enqueued, claimed, acked, … |
| `queue_wait_seconds` | histogram | queue | time from ready to claimed |
| `queue_run_seconds_total` | counter | queue | time attempts have run |
| `queue_arrivals_per_second` | gauge | queue, lane | messages enqueued, last minute |
| `queue_completions_per_second` | gauge | queue | messages acked, last minute |
| `queue_failures_per_second` | gauge | queue | attempts retried or buried, last minute |
| `queue_wait_quantile_seconds` | gauge | queue, lane, quantile | ready to claimed, last minute |
| `fleet_workers` | gauge | fleet, state | workers that are alive: ready or draining |
| `fleet_slots` | gauge | fleet | messages that ready workers can run at once |
| `fleet_running` | gauge | fleet | messages that run, as the workers last said |
| `outbox_messages_pending` | gauge | | rows of the outbox that wait to become messages |
| `outbox_messages_failed` | gauge | | rows of the outbox that can never become messages |
| `outbox_oldest_age_seconds` | gauge | | age of the oldest pending row |
| `scaling_decision_total` | counter | component, direction | decisions: up, down or none |
| `scaling_reading_total` | counter | component, outcome | looks: read, held or unreadable |
| `scaling_wanted_workers` | gauge | component | what was decided last |
| `scaling_lag_seconds` | histogram | component | from a wish for workers to their being ready |
| `scaling_forecast_skill` | gauge | component, against | how much better a forecast is: now, week |
| `scaling_forecast_age_seconds` | gauge | component | since the forecast was made |
| `pod_replicas` | gauge | component | workers of a fleet that are alive |
| `scaler_call_total` | counter | method, code | calls of KEDA, by how they ended |
| `scaler_call_seconds` | histogram | method | how long they took |
| `scaler_last_call_age_seconds` | gauge | namespace, name | since KEDA asked for a ScaledObject |
"""

from __future__ import annotations

PREFIX = "octollm"

TASK_QUEUE_DEPTH = "task_queue_depth"
QUEUE_DEPTH_OF = "{queue}_queue_depth"
WAITING = "queue_messages_waiting"
DELAYED = "queue_messages_delayed"
IN_FLIGHT = "queue_messages_in_flight"
DEAD_LETTERS = "queue_dead_letters"
OLDEST_AGE = "queue_oldest_age_seconds"
MESSAGES = "queue_messages"
WAIT = "queue_wait_seconds"
RUN_SECONDS = "queue_run_seconds"
ARRIVALS = "queue_arrivals_per_second"
COMPLETIONS = "queue_completions_per_second"
FAILURES = "queue_failures_per_second"
WAIT_QUANTILE = "queue_wait_quantile_seconds"
FLEET_WORKERS = "fleet_workers"
FLEET_SLOTS = "fleet_slots"
FLEET_RUNNING = "fleet_running"
OUTBOX_PENDING = "outbox_messages_pending"
OUTBOX_FAILED = "outbox_messages_failed"
OUTBOX_OLDEST_AGE = "outbox_oldest_age_seconds"

SCALING_DECISION = "scaling_decision"
SCALING_READING = "scaling_reading"
WANTED_WORKERS = "scaling_wanted_workers"
SCALING_LAG = "scaling_lag_seconds"
FORECAST_SKILL = "scaling_forecast_skill"
FORECAST_AGE = "scaling_forecast_age_seconds"
POD_REPLICAS = "pod_replicas"
SCALER_CALL = "scaler_call"
SCALER_CALL_SECONDS = "scaler_call_seconds"
SCALER_LAST_CALL_AGE = "scaler_last_call_age_seconds"

AGAINST = "against"
CODE = "code"
COMPONENT = "component"
DIRECTION = "direction"
FLEET = "fleet"
LANE = "lane"
METHOD = "method"
NAME = "name"
NAMESPACE = "namespace"
OUTCOME = "outcome"
QUANTILE = "quantile"
QUEUE = "queue"
STATE = "state"

OUTCOMES = (
    "enqueued",
    "claimed",
    "acked",
    "retried",
    "dead",
    "released",
    "reclaimed",
    "promoted",
    "undecodable",
    "replayed",
    "purged",
)
"""Values of the outcome label, which are the counters' names in the stats hash."""
