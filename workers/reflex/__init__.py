"""reflex: the HTTP edge. It takes tasks in, tells how they are, shows and steers workflows.

    POST /api/v1/tasks         {goal, priority}  → 202 {task_id}
    GET  /api/v1/tasks/{id}                      → status, result or error, times
    …    /api/v1/workflows…                      see `workflow_routes`
    GET  /health                                 → whether Redis and PostgreSQL answer
    GET  /metrics                                → Prometheus
    GET  /openapi.json

Every refusal has one form, `{"error": {"code", "message", "field"?}}`, and no answer ever shows a
stack trace. A full lane is 429, a server that is gone is 503, both with Retry-After; the process
recovers without a restart, because every call finds its own connection.

The two task routes are plain ASGI on pydantic models and stand in front of FastAPI: they
carry the load, and its layers cost more than they do. FastAPI has the rest.

The weakness: there are no keys and no quotas yet. Whoever can reach the port can submit.
"""
