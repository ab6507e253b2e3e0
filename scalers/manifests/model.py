"""The base of all Kubernetes objects here: snake_case in Python, camelCase on the wire, strict."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from scalers.manifests.loose import mapping_of


class Piece(BaseModel):
    """A part of an object. Keys it does not know are refused with the nearest one it does."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        strict=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, given: object) -> object:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        names = known | set(cls.model_fields)
        strange = [key for key in mapping_of(given) if key not in names]
        if strange:
            raise ValueError("; ".join(_unknown(str(key), known) for key in strange))
        return given


def _unknown(key: str, known: set[str]) -> str:
    near = get_close_matches(key, sorted(known), n=1)
    return f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "")


class Metadata(BaseModel):
    """Of any object; what Kubernetes adds to it is left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    namespace: str = "default"
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
