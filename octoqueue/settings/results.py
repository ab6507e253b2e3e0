"""`ResultSettings`: how large a result may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from octoqueue.settings.quantities import PositiveSize
from octoqueue.settings.section import Section


class ResultSettings(Section):
    """The results of actors declared with `results=True`."""

    max_bytes: Annotated[PositiveSize, Field(le=64 * 2**20)] = 256 * 2**10
    """Size of a result that is kept in Redis, at most; larger ones go to the object store."""

    max_object_bytes: Annotated[PositiveSize, Field(le=2**30)] = 64 * 2**20
    """Size of a result that is kept in the object store, at most; larger ones are refused."""

    @field_validator("max_object_bytes")
    @classmethod
    def _objects_are_larger(cls, size: int, info: ValidationInfo) -> int:
        if size < info.data.get("max_bytes", 0):
            raise ValueError("must not be smaller than results.max_bytes")
        return size
