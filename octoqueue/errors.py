"""Every error octoqueue raises, in one tree.

    OctoqueueError
    ├── ConfigError                     the configuration is wrong; names the key
    │   └── ConfigRefused               everything that is wrong with it, at once
    ├── DeclarationError                an actor, queue or option is declared wrongly
    │   ├── UnknownOption               an option nobody owns; names the nearest known one
    │   └── ModuleUnusable              a module cannot be imported or lacks what it was named for
    ├── EnqueueError                    a message was not accepted; nothing of it was stored
    │   ├── LaneFull                    the lane has reached its bound
    │   │   └── DelayedFull             the queue's delayed messages have reached their bound
    │   ├── EnvelopeTooLarge            the payload is over the limit
    │   ├── PayloadNotSerializable      an argument has no JSON form
    │   ├── DuplicateMessage            another message holds the unique key; names it
    │   ├── KeyTaken                    a dead letter's unique key was taken meanwhile; names both
    │   ├── UniqueCycle                 a running message sends the key it holds itself
    │   └── InvalidMessage              a field of the message has an impossible value
    │       └── UnitsOverBurst          it costs more than its limit ever gives at once
    ├── EnvelopeError                   bytes that are no envelope of ours
    │   └── NotReplayable               a dead letter is none, so it cannot run again; names it
    ├── NotThere                        what was named does not exist (any more)
    │   ├── QueueUnknown                nothing was ever put into a queue of that name
    │   ├── MessageUnknown              no message of that id is kept anywhere
    │   ├── DeadLetterUnknown           a queue has no dead letter of that id
    │   └── ScheduleUnknown             no schedule of that name is declared
    ├── ActorUnknown                    a message names an actor this process has not imported
    ├── LeaseLost                       settling was refused: the lease belongs to nobody or another
    ├── ResultError                     a result cannot be given
    │   ├── ResultNotKept               the actor does not keep results
    │   ├── ResultTimeout               no result within the time given
    │   ├── EventsNotKept               the actor tells no events
    │   ├── EventTimeout                no event within the time given
    │   └── ActorFailed                 the actor raised; carries class name, message, traceback
    ├── ResultTooLarge                  an actor returned more than may be kept
    ├── EventTooLarge                   an actor emitted more than one event may hold
    ├── TimeLimitExceeded               an attempt ran longer than its actor allows
    ├── DeadlineExceeded                an attempt still ran at the message's deadline
    ├── MessageExpired                  a message was not started in time and is not run any more
    ├── Cancelled                       somebody cancelled the message; carries the reason
    ├── BatchAnswerInvalid              a batch actor returned no entry a message
    ├── MessageRejected                 middleware said that a message must not run (again)
    ├── PoisonMessage                   too many workers were lost while they ran a message
    ├── StoreError                      a server answered wrongly or not at all
    │   ├── StoreUnavailable            Redis or PostgreSQL cannot be reached
    │   ├── SentTooLate                 a call came after the time it was allowed to take effect
    │   ├── StoreConflict               another transaction won; the same call may succeed
    │   ├── StoreRefused                the server refused a statement; carries its SQLSTATE
    │   ├── ObjectsRefused              the object store does not let us in
    │   ├── ObjectMissing               the object store has no object of that key (any more)
    │   ├── SchemaMismatch              the database's schema is not the one this code needs
    │   └── StoreProtocolError          a script answered what the client does not understand
    ├── ReplyUnusable                   a model answered in a form nobody can use
    ├── SandboxUnavailable              the launcher of isolated commands is gone or cannot start
    ├── EmbeddedError                   a private server could not be started
    │   └── ServerNotFound              no server binary on this machine; says what to install
    ├── DrainError                      a test's drain did not come to its end
    │   ├── DrainTimeout                actors were still running; names them
    │   └── DrainEndless                messages send messages without end
    ├── ProcessError                    a process beside this one cannot do its work
    │   ├── ProcessGivenUp              it ended too often, or before it was ever ready
    │   └── PortTaken                   another program listens where it was to listen
    └── Steer                           not failures: what an actor raises to steer its message
        ├── Retry                       run me again, optionally after a delay
        ├── Snooze                      run me again after a delay, and count no attempt
        └── Discard                     acknowledge me although I did not finish

The docstring of a class is its default message. Fields carry the ids needed to act on it.
`retryable` says whether the same call may succeed later without a change by the caller.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class OctoqueueError(Exception):
    """Something went wrong in octoqueue."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])


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


class EnqueueError(OctoqueueError):
    """A message was not accepted; nothing of it was stored."""


class LaneFull(EnqueueError):
    """The lane has reached its bound."""

    retryable = True

    def __init__(self, queue: str, lane: str, *, depth: int, bound: int) -> None:
        super().__init__(
            f"lane {lane!r} of queue {queue!r} is full: {depth} of {bound} messages are waiting; "
            "try again later, or raise the bound in the configuration"
        )
        self.queue = queue
        self.lane = lane
        self.depth = depth
        self.bound = bound


class DelayedFull(LaneFull):
    """The queue's delayed messages have reached their bound."""


class EnvelopeTooLarge(EnqueueError):
    """The payload is over the limit."""

    def __init__(self, actor: str, *, payload_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"a message for actor {actor!r} has {payload_bytes} bytes, the limit is {limit_bytes}; "
            "pass a reference to the data instead of the data"
        )
        self.actor = actor
        self.payload_bytes = payload_bytes
        self.limit_bytes = limit_bytes


class PayloadNotSerializable(EnqueueError):
    """An argument has no JSON form."""

    def __init__(self, actor: str, *, reason: str) -> None:
        super().__init__(f"the arguments for actor {actor!r} cannot be written as JSON: {reason}")
        self.actor = actor


class InvalidMessage(EnqueueError):
    """A field of the message has an impossible value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class UnitsOverBurst(InvalidMessage):
    """The message costs more units than its rate limit ever gives at once: it could never run."""

    def __init__(self, limit: str, *, units: int, burst: int) -> None:
        super().__init__(
            "limits",
            f"{units} units of {limit!r} are over its burst of {burst}: the message could never "
            "run; split it, or raise the burst",
        )
        self.limit = limit
        self.units = units
        self.burst = burst


class DuplicateMessage(EnqueueError):
    """Another message holds the unique key."""

    def __init__(self, actor: str, *, existing: str) -> None:
        super().__init__(f"actor {actor!r} has a message with this unique key: {existing}")
        self.actor = actor
        self.existing = existing
        """The id of the message that holds the key."""


class KeyTaken(EnqueueError):
    """A dead letter cannot be replayed: another message holds its unique key."""

    retryable = True

    def __init__(self, queue: str, message_id: str, *, existing: str) -> None:
        super().__init__(
            f"dead letter {message_id} of queue {queue!r} cannot be replayed while message "
            f"{existing} holds its unique key"
        )
        self.queue = queue
        self.message_id = message_id
        self.existing = existing
        """The id of the message that holds the key."""


class UniqueCycle(EnqueueError):
    """A running message sends a message with the unique key that it holds itself until it is done.

    The new one would be a duplicate of its own sender, and never run.
    """

    def __init__(self, actor: str, *, message_id: str) -> None:
        super().__init__(
            f"message {message_id} holds the unique key until it is done and sends actor {actor!r} "
            "the same key; declare it unique until it is started, or give the next one another key"
        )
        self.actor = actor
        self.message_id = message_id


class EnvelopeError(OctoqueueError):
    """These bytes are no envelope of ours."""


class NotReplayable(EnvelopeError):
    """A dead letter is no envelope, so it cannot run again."""

    def __init__(self, queue: str, message_id: str) -> None:
        super().__init__(
            f"dead letter {message_id} of queue {queue!r} cannot be decoded, so it cannot be "
            "replayed; it can be purged"
        )
        self.queue = queue
        self.message_id = message_id


class NotThere(OctoqueueError):
    """What was named does not exist (any more)."""


class QueueUnknown(NotThere):
    """Nothing was ever put into a queue of that name."""

    def __init__(self, queue: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(
            f"nothing was ever put into a queue called {queue!r} (there are: {listed})"
        )
        self.queue = queue


class MessageUnknown(NotThere):
    """No message of that id is kept anywhere."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"no message {message_id} waits, runs or is dead: it has ended, or never was, "
            "or is in another namespace"
        )
        self.message_id = message_id


class NotWaiting(OctoqueueError):
    """A message does not wait and is not delayed, so it cannot be moved."""

    def __init__(self, message_id: str, *, state: str) -> None:
        super().__init__(f"message {message_id} cannot be moved: it is {state}")
        self.message_id = message_id
        self.state = state
        """Where it is instead: running, dead, finished or unknown."""


class DeadLetterUnknown(NotThere):
    """A queue has no dead letter of that id (any more)."""

    def __init__(self, queue: str, message_id: str) -> None:
        super().__init__(f"queue {queue!r} has no dead letter {message_id}")
        self.queue = queue
        self.message_id = message_id


class ScheduleUnknown(NotThere):
    """No schedule of that name is declared."""

    def __init__(self, schedule: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no schedule named {schedule!r} is declared here (declared: {listed})")
        self.schedule = schedule


class ActorUnknown(OctoqueueError):
    """A message names an actor this process has not imported."""

    def __init__(self, actor: str, *, known: tuple[str, ...] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no actor named {actor!r} is declared here (declared: {listed})")
        self.actor = actor


class LeaseLost(OctoqueueError):
    """Settling was refused: the lease was reclaimed, so the message belongs to another attempt."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"the lease of message {message_id} was lost; its outcome was refused")
        self.message_id = message_id


class ResultError(OctoqueueError):
    """A result cannot be given."""

    def __init__(self, message: str, *, message_id: str) -> None:
        super().__init__(message)
        self.message_id = message_id


class ResultNotKept(ResultError):
    """The actor does not keep results; declare it with `results=True`."""


class ResultTimeout(ResultError):
    """No result arrived within the time given."""

    retryable = True


class EventsNotKept(ResultError):
    """The actor tells no events; declare it with `events=True`."""


class EventTimeout(ResultError):
    """No event arrived within the time given."""

    retryable = True


class ActorFailed(ResultError):
    """The actor raised on its last attempt."""

    def __init__(
        self,
        *,
        message_id: str,
        error: str,
        detail: str,
        trace: str = "",
        types: Sequence[str] = (),
    ) -> None:
        super().__init__(f"message {message_id} failed: {error}: {detail}", message_id=message_id)
        self.error = error
        """Class name of what the actor raised."""
        self.detail = detail
        """Its message."""
        self.trace = trace
        """Its traceback as text, empty when unknown (a poison stop has none)."""
        self.types = tuple(types)
        """Full names of its class and the classes above, empty when unknown."""

    def is_a(self, error: type[BaseException]) -> bool:
        """Whether what the actor raised was one of these, as `except` would have it."""
        if self.types:
            return f"{error.__module__}.{error.__qualname__}" in self.types
        return error.__name__ == self.error and error.__module__ == __name__


class ResultTooLarge(OctoqueueError):
    """An actor returned more than may be kept."""

    def __init__(self, actor: str, *, result_bytes: int, limit_bytes: int, setting: str) -> None:
        super().__init__(
            f"actor {actor!r} returned {result_bytes} bytes, the limit is {limit_bytes} "
            f"({setting}); return a reference to the data instead of the data"
        )
        self.actor = actor
        self.result_bytes = result_bytes
        self.limit_bytes = limit_bytes


class EventTooLarge(OctoqueueError):
    """An actor emitted more than one event may hold."""

    def __init__(self, actor: str, *, event_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"an event of actor {actor!r} has {event_bytes} bytes, the limit is {limit_bytes} "
            "(events.max_bytes); emit a reference to the data instead of the data"
        )
        self.actor = actor
        self.event_bytes = event_bytes
        self.limit_bytes = limit_bytes


class TimeLimitExceeded(OctoqueueError):
    """An attempt ran longer than its actor allows and was cancelled."""


class DeadlineExceeded(OctoqueueError):
    """An attempt still ran at the deadline of its message and was stopped."""


class MessageExpired(OctoqueueError):
    """A message was not started before it expired, and is not run any more."""


class Cancelled(OctoqueueError):
    """Somebody cancelled the message."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or None)
        self.reason = reason


class BatchAnswerInvalid(OctoqueueError):
    """A batch actor returned neither None nor a list with one entry a message."""

    def __init__(self, actor: str, *, returned: str, messages: int) -> None:
        super().__init__(
            f"actor {actor!r} was called with {messages} messages and returned a {returned}; "
            "a batch actor returns None, or a list with one entry a message"
        )
        self.actor = actor
        self.messages = messages


class MessageRejected(OctoqueueError):
    """Middleware marked the message as failed."""


class PoisonMessage(OctoqueueError):
    """Too many workers were lost while they ran this message."""

    def __init__(self, deliveries: int) -> None:
        super().__init__(f"{deliveries} workers died or were lost while they ran it")
        self.deliveries = deliveries


class StoreError(OctoqueueError):
    """A server answered wrongly or not at all."""


class StoreUnavailable(StoreError):
    """A server cannot be reached; whether the last call took effect is unknown."""

    retryable = True

    def __init__(self, store: str, *, reason: str) -> None:
        super().__init__(f"{store} cannot be reached: {reason}")
        self.store = store


class SentTooLate(StoreError):
    """The call reached the store after the time it was allowed to take effect; it had none."""

    retryable = True


class StoreConflict(StoreError):
    """Another transaction won; nothing of this one was kept."""

    retryable = True

    def __init__(self, statement: str, *, sqlstate: str, reason: str) -> None:
        super().__init__(f"{statement} lost to another transaction ({sqlstate}): {reason}")
        self.statement = statement
        self.sqlstate = sqlstate


class StoreRefused(StoreError):
    """The server refused a statement; nothing of it was kept."""

    def __init__(
        self, statement: str, *, sqlstate: str, reason: str, constraint: str | None = None
    ) -> None:
        super().__init__(f"PostgreSQL refused {statement} ({sqlstate}): {reason}")
        self.statement = statement
        self.sqlstate = sqlstate
        self.constraint = constraint
        """Name of the violated constraint, when it was one."""


class ObjectsRefused(StoreError):
    """The object store does not let us in, or has no such bucket."""

    def __init__(self, key: str, *, reason: str) -> None:
        super().__init__(f"the object store refused {key!r}: {reason}")
        self.key = key


class ObjectMissing(StoreError):
    """The object store has no object of that key (any more)."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the object store has no object {key!r} (any more)")
        self.key = key


class SchemaMismatch(StoreError):
    """The database's schema is not the one this code needs."""


class StoreProtocolError(StoreError):
    """A script answered what this client does not understand."""


class EmbeddedError(OctoqueueError):
    """A private server could not be started."""


class ServerNotFound(EmbeddedError):
    """No server binary was found on this machine."""


class DrainError(OctoqueueError):
    """A test's drain did not come to its end."""


class DrainTimeout(DrainError):
    """Actors were still running when the time of a drain was over."""

    def __init__(self, running: Sequence[str], *, timeout: timedelta) -> None:
        names = ", ".join(sorted(running)) or "nothing"
        super().__init__(
            f"after {timeout} still running: {names}; an actor that waits for another message "
            "needs concurrency=2 or more"
        )
        self.running = tuple(sorted(running))


class DrainEndless(DrainError):
    """More messages ran in one drain than a test means: do they send each other without end?"""

    def __init__(self, actors: Sequence[str], *, limit: int) -> None:
        names = ", ".join(sorted(set(actors)))
        super().__init__(f"{limit} messages ran and more wait; the last were of {names}")
        self.limit = limit


class ProcessError(OctoqueueError):
    """A process beside this one cannot do its work."""


class ProcessGivenUp(ProcessError):
    """A process ended too often, or before it was ever ready, and is not started again."""

    def __init__(self, name: str, reason: str, *, last_words: str = "") -> None:
        told = f": {last_words.removeprefix('octoqueue: ')}" if last_words else ""
        super().__init__(f"{name} {reason}{told}")
        self.name = name


class PortTaken(ProcessError):
    """Another program listens where we were to listen."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is taken: end the program that listens there, or choose "
            "another with http.port (0 takes a free one)"
        )
        self.host = host
        self.port = port


class ReplyUnusable(OctoqueueError):
    """A model answered in a form nobody can use; asking again may give a better answer."""

    retryable = True

    def __init__(self, model: str, *, purpose: str, reason: str) -> None:
        super().__init__(f"model {model!r} answered a {purpose} prompt unusably: {reason}")
        self.model = model
        self.purpose = purpose


class SandboxUnavailable(OctoqueueError):
    """The launcher of isolated commands is gone or cannot start; whether one ran is unknown."""

    retryable = True


class Steer(OctoqueueError):
    """Not a failure: the actor steers what becomes of its message."""


def _wait(delay: object) -> timedelta:
    if not isinstance(delay, timedelta):
        raise InvalidMessage("delay", f"{delay!r} is no timedelta")
    if delay < timedelta(0):
        raise InvalidMessage("delay", f"{delay} is negative")
    return delay


class Retry(Steer):
    """Run this message again."""

    def __init__(self, message: str | None = None, *, delay: timedelta | None = None) -> None:
        super().__init__(message)
        self.delay = None if delay is None else _wait(delay)
        """How long to wait first; the actor's backoff when None."""


class Snooze(Steer):
    """Run this message again later, and count no attempt."""

    def __init__(self, delay: timedelta, message: str | None = None) -> None:
        super().__init__(message)
        self.delay = _wait(delay)
        """How long to wait first."""


class Discard(Steer):
    """Acknowledge this message although its actor did not finish."""
