"""For whoever starts the processes, servers and models around the workers."""

from __future__ import annotations

from octoqueue.errors.root import OctoqueueError


class EmbeddedError(OctoqueueError):
    """A private server could not be started."""


class ServerNotFound(EmbeddedError):
    """No server binary was found on this machine."""


class ProcessError(OctoqueueError):
    """A process beside this one cannot do its work."""


class ProcessGivenUp(ProcessError):
    """A process ended too often, or before it was ever ready, and is not started again."""

    def __init__(self, name: str, reason: str, *, last_words: str = "") -> None:
        told = f": {last_words.removeprefix('octoqueue: ')}" if last_words else ""
        super().__init__(f"{name} {reason}{told}")
        self.name = name
        self.reason = reason


class PortTaken(ProcessError):
    """Another program listens where we were to listen."""

    def __init__(self, host: str, port: int, *, key: str = "http.port") -> None:
        super().__init__(
            f"port {port} on {host} is taken: end the program that listens there, or choose "
            f"another with {key} (0 takes a free one)"
        )
        self.host = host
        self.port = port


class SandboxUnavailable(OctoqueueError):
    """The launcher of isolated commands is gone or cannot start; whether one ran is unknown."""

    retryable = True


class ReplyUnusable(OctoqueueError):
    """A model answered in a form nobody can use; asking again may give a better answer."""

    retryable = True

    def __init__(self, model: str, *, purpose: str, reason: str) -> None:
        super().__init__(f"model {model!r} answered a {purpose} prompt unusably: {reason}")
        self.model = model
        self.purpose = purpose
