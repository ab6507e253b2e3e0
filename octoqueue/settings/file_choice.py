"""Which file is read: the one that is named, else the one in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_FILE: Final = "octoqueue.yaml"
FILE_VARIABLE: Final = "OCTOQUEUE_CONFIG"


def find_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: `path`, else `OCTOQUEUE_CONFIG`, else `octoqueue.yaml` if there."""
    named = environ.get(FILE_VARIABLE)
    if path is not None or named:
        return path or Path(str(named))
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None
