"""What a forecaster has learnt, as bytes: an npz archive of plain arrays, with a version.

name of a part . name of a field  ──►  one array; numbers are arrays without a dimension
"""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from octoqueue.errors import ForecastStateUnreadable
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster

Anything = npt.NDArray[Any]

VERSION: Final = 2
"""Of what is written. A state of another version is learnt anew from history."""
_PARTS: Final = (
    "level", "week", "day", "regression", "errors", "skill", "bias", "recent", "made",
)  # fmt: skip


def state_of(forecaster: ArrivalForecaster) -> bytes:
    """Return what `forecaster_from` makes an equal forecaster of."""
    arrays: dict[str, Any] = {
        "version": np.array(VERSION),
        "zone": np.array(forecaster.zone.name),
        "last_minute": np.array(forecaster.last_minute),
    }
    for part, field in _fields(forecaster):
        arrays[f"{part}.{field}"] = np.asarray(getattr(getattr(forecaster, part), field))
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


def forecaster_from(state: bytes) -> ArrivalForecaster:
    """Return the forecaster whose state this is.

    Raises:
        ForecastStateUnreadable: it is none, or of another version.
    """
    try:
        with np.load(io.BytesIO(state), allow_pickle=False) as arrays:
            return _forecaster(dict(arrays))
    except Exception as error:  # damage shows as anything, and what was learnt can be learnt again
        raise ForecastStateUnreadable(reason=str(error) or type(error).__name__) from error


def _forecaster(arrays: dict[str, Anything]) -> ArrivalForecaster:
    version = int(arrays["version"])
    if version != VERSION:
        raise ForecastStateUnreadable(reason=f"it is of version {version}, this is {VERSION}")
    forecaster = ArrivalForecaster(zone=str(arrays["zone"]))
    forecaster.last_minute = int(arrays["last_minute"])
    for part, field in _fields(forecaster):
        owner = getattr(forecaster, part)
        setattr(owner, field, _like(getattr(owner, field), arrays[f"{part}.{field}"], field))
    return forecaster


def _like(fresh: float | Anything, kept: Anything, field: str) -> float | Anything:
    """Return what was kept as the kind of value that a fresh forecaster has there."""
    if isinstance(fresh, int | float):
        number = type(fresh)(kept)
        if not math.isfinite(number):
            raise ValueError(f"{field} is {number}")
        return number
    if kept.shape != fresh.shape:
        raise ValueError(f"{field} has the shape {kept.shape} instead of {fresh.shape}")
    if field != "counts" and not np.isfinite(kept).all():
        raise ValueError(f"{field} is not finite")
    return kept.astype(fresh.dtype)


def _fields(forecaster: ArrivalForecaster) -> list[tuple[str, str]]:
    return [
        (part, field) for part in _PARTS for field in sorted(getattr(forecaster, part).__slots__)
    ]
