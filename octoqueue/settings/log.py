"""`LogSettings`: what is logged, and in which form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from octoqueue.settings.section import Section


def _lower_case(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class LogSettings(Section):
    """The log of every process, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower_case)] = (
        "info"
    )
    """The least serious events that are logged."""

    format: Literal["text", "json"] = "text"
    """`text` for people, `json` (one object a line) for machines."""
