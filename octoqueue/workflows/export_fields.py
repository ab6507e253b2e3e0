"""`Fields`: an object of an exported history, read field by field; what is wrong is named. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from octoqueue.errors import HistoryUnreadable, InvalidMessage
from octoqueue.primitives.body_json import json_from, value_from
from octoqueue.primitives.ids import id_from_text
from octoqueue.primitives.lane import Lane, lane_from

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId

K = TypeVar("K", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object and where it stands. Every method raises `HistoryUnreadable` naming the field."""

    values: dict[str, Any]
    place: str
    """Empty for the outermost."""

    @classmethod
    def of(cls, value: object, place: str) -> Fields:
        """Return the fields of what stands at `place`."""
        if not isinstance(value, dict):
            raise HistoryUnreadable(place, "is no JSON object")
        return cls(cast("dict[str, Any]", value), "" if place == "history" else place)

    def object(self, name: str) -> Fields:
        """Return the fields of an object inside."""
        return Fields.of(self._required(name), self._path(name))

    def object_or_none(self, name: str) -> Fields | None:
        """Return the fields of an object inside, None when there is none."""
        return None if self.values.get(name) is None else self.object(name)

    def objects(self, name: str) -> list[Fields]:
        """Return the fields of each object of a list."""
        path = self._path(name)
        return [Fields.of(each, f"{path}[{index}]") for index, each in enumerate(self._list(name))]

    def text(self, name: str) -> str:
        """Return a string."""
        value = self._required(name)
        return value if isinstance(value, str) else self._refuse(name, "is no string")

    def text_or_none(self, name: str) -> str | None:
        """Return a string or None."""
        return None if self.values.get(name) is None else self.text(name)

    def texts_or_none(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings or None."""
        if self.values.get(name) is None:
            return None
        texts = self._list(name)
        if not all(isinstance(each, str) for each in texts):
            self._refuse(name, "holds what is no string")
        return tuple(cast("list[str]", texts))

    def number(self, name: str) -> int:
        """Return a whole number that is not negative."""
        value = self._required(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._refuse(name, f"is {value!r}, no whole number from 0")
        return value

    def number_or_none(self, name: str) -> int | None:
        """Return a whole number or None."""
        return None if self.values.get(name) is None else self.number(name)

    def choice(self, name: str, kinds: type[K]) -> K:
        """Return one of some words."""
        told = self.text(name)
        try:
            return kinds(told)
        except ValueError:
            known = ", ".join(kind.value for kind in kinds)
            return self._refuse(name, f"is {told!r}, which is none of {known}")

    def lane(self, name: str) -> Lane:
        """Return a lane."""
        try:
            return lane_from(self.text(name))
        except InvalidMessage as wrong:
            return self._refuse(name, f"is wrong: {wrong}")

    def uuid(self, name: str) -> str:
        """Return a UUID in canonical form."""
        told = self.text(name)
        if id_from_text(told) is None:
            self._refuse(name, f"is {told!r}, no UUID in canonical form")
        return told

    def uuid_or_none(self, name: str) -> str | None:
        """Return a UUID in canonical form or None."""
        return None if self.values.get(name) is None else self.uuid(name)

    def message_id_or_none(self, name: str) -> MessageId | None:
        """Return a message id or None."""
        told = self.uuid_or_none(name)
        return None if told is None else id_from_text(told)

    def hexadecimal(self, name: str) -> bytes:
        """Return bytes."""
        try:
            return bytes.fromhex(self.text(name))
        except ValueError:
            return self._refuse(name, "is not hexadecimal")

    def moment(self, name: str) -> datetime:
        """Return a point in time with its offset."""
        told = self.text(name)
        try:
            at = datetime.fromisoformat(told)
        except ValueError:
            return self._refuse(name, f"is {told!r}, no time in ISO 8601")
        return at if at.tzinfo is not None else self._refuse(name, f"is {told!r}, without offset")

    def moment_or_none(self, name: str) -> datetime | None:
        """Return a point in time or None."""
        return None if self.values.get(name) is None else self.moment(name)

    def value(self, name: str) -> bytes | None:
        """Return a journaled value as the JSON it was, None when there is none."""
        if name in self.values:
            return json_from(self.values[name])
        verbatim = f"{name}_text"
        if verbatim not in self.values:
            return None
        text = self.text(verbatim).encode()
        try:
            value_from(text)
        except ValueError as error:
            self._refuse(verbatim, f"is no JSON: {error}")
        return text

    def required_value(self, name: str) -> bytes:
        """Return a journaled value that must be there."""
        value = self.value(name)
        return self._refuse(name, "is missing") if value is None else value

    def _list(self, name: str) -> list[Any]:
        value = self._required(name)
        return value if isinstance(value, list) else self._refuse(name, "is no list")  # pyright: ignore[reportUnknownVariableType] - of anything

    def _required(self, name: str) -> Any:  # noqa: ANN401 - JSON
        if name not in self.values:
            self._refuse(name, "is missing")
        return self.values[name]

    def _refuse(self, name: str, reason: str) -> NoReturn:
        raise HistoryUnreadable(self._path(name), reason)

    def _path(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name
