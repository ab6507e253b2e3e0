"""`Section`: what every part of the configuration has in common, and the marks its keys carry."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """One concern of the configuration: frozen, and closed to keys nobody knows."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,  # one key may be wrong only beside another's default
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_empty(cls, value: object) -> object:
        return empty_if_none(value)


def empty_if_none(value: object) -> object:
    """Return `{}` for None: that is how YAML reads a section whose keys are all commented out."""
    return {} if value is None else value


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a key whose value is shown only masked."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A second environment name for a key, shorter than the one its path gives it."""

    name: str
