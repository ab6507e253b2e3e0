"""For whoever configures octoqueue or declares actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.root import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConfigError(OctoqueueError):
    """The configuration is wrong."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key
        """Dotted path of the offending key, empty when the whole file is unreadable."""


class ConfigRefused(ConfigError):
    """The configuration was refused; all its problems are listed, one a line."""

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems), key=problems[0].key)
        self.problems = tuple(problems)


class DeclarationError(OctoqueueError):
    """An actor or queue is declared wrongly."""


class UnknownOption(DeclarationError):
    """An actor was declared with an option that nobody owns."""

    def __init__(self, option: str, *, nearest: str | None, owner: str) -> None:
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"{owner} does not understand the option {option!r}{hint}")
        self.option = option
        self.nearest = nearest
        self.owner = owner


class ModuleUnusable(DeclarationError):
    """A module cannot be imported, or lacks what it was named for."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(f"{module} {reason}")
        self.module = module
