"""Names that appear in the configuration: queues, modules, applications, the key prefix.

Each is refused here with a sentence, so that it cannot fail later inside a key or an import.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator

from octoqueue.primitives.extension import MOST_NAME_BYTES
from octoqueue.primitives.queue_names import QUEUE_NAME

_PREFIX: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def _queue_name(name: str) -> str:
    if not QUEUE_NAME.fullmatch(name):
        raise ValueError(
            "must start with a letter or '_' and go on with letters, digits, '.', '_' and '-'"
        )
    return name


def _short_name(name: str) -> str:
    if not _PREFIX.fullmatch(name):
        raise ValueError(
            "must start with a lower-case letter and go on with at most 31 lower-case letters, "
            "digits, '_' and '-'"
        )
    return name


def _store_name(name: str) -> str:
    if not 1 <= len(name.encode()) <= MOST_NAME_BYTES:
        raise ValueError(f"must have 1 to {MOST_NAME_BYTES} bytes")
    return name


def _is_dotted_path(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _module_name(name: str) -> str:
    if not _is_dotted_path(name):
        raise ValueError("must be the dotted path of a module, e.g. my_app.actors")
    return name


def _import_target(target: str) -> str:
    module, _, attribute = target.partition(":")
    if not (_is_dotted_path(module) and _is_dotted_path(attribute)):
        raise ValueError("must be module:attribute, e.g. my_app.web:create_app")
    return target


QueueName = Annotated[str, AfterValidator(_queue_name)]
"""The name of a queue or of a fleet; what dramatiq allows as a queue name, and nothing more."""

ShortName = Annotated[str, AfterValidator(_short_name)]
"""A name that becomes part of every key or of a folder."""

StoreName = Annotated[str, AfterValidator(_store_name)]
"""The name of a tenant or of a rate limit, as messages carry it."""

ModuleName = Annotated[str, AfterValidator(_module_name)]
"""A module to import."""

ImportTarget = Annotated[str, AfterValidator(_import_target)]
"""An object to import: `module:attribute`."""
