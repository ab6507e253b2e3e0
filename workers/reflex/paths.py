"""Where things are."""

from __future__ import annotations

from typing import Final

TASKS_PATH: Final = "/api/v1/tasks"
WORKFLOWS_PATH: Final = "/api/v1/workflows"
