"""`Lanes`: our options for dramatiq, and in dramatiq's own worker what they promise."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, cast

from dramatiq.middleware import Middleware

from octoqueue.broker.completions import completed, is_step
from octoqueue.broker.leased import LeasedMessage
from octoqueue.broker.options import OWN_OPTIONS
from octoqueue.broker.records import dead_letter_kwargs, reason_of, result_body
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.errors import MessageRejected, OctoqueueError
from octoqueue.primitives.messages import ResultRecord

if TYPE_CHECKING:
    from dramatiq.broker import Broker, MessageProxy

    from octoqueue.broker.executables import Executable
    from octoqueue.broker.options import Defaults
    from octoqueue.primitives.envelope import Header
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue

log = logging.getLogger(__name__)


class Registry(Protocol):
    """What these hooks need of the broker they are called with."""

    @property
    def defaults(self) -> Defaults:
        """What holds for actors that say nothing."""
        ...

    def get_declared_actors(self) -> set[str]:
        """Return the names of the actors declared here."""
        ...

    def executable(self, actor_name: str) -> Executable:
        """Return how to run an actor."""
        ...

    def kept_result(
        self, actor_name: str, record: ResultRecord, message_id: MessageId
    ) -> ResultRecord:
        """Return what is kept of a result; blocks when it is large."""
        ...

    def follow_up(
        self, actor_name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, beside: Header
    ) -> Enqueue:
        """Return a message for an actor."""
        ...


class Lanes(Middleware):
    """Owns the options of an actor that dramatiq does not know.

    Our own worker keeps their promises by itself; dramatiq's calls the hooks below.
    """

    for_stock_worker = True

    @property
    def actor_options(self) -> set[str]:
        """The option names."""
        return set(OWN_OPTIONS)

    def after_process_message(
        self,
        broker: Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        """Keep the result of a message, to be committed with its ack."""
        if exception is not None or message.failed:
            return
        if not isinstance(message, LeasedMessage):
            return
        registry = cast("Registry", broker)
        if is_step(message.call) and not self._tell(registry, message, result):
            return
        if not message.keeps_result:
            return
        ttl_ms = registry.executable(message.actor_name).options.result_ttl_ms
        try:
            record = ResultRecord(body=result_body(message.actor_name, result), ttl_ms=ttl_ms)
            message.result = registry.kept_result(
                message.actor_name, record, message.header.message_id
            )
        except OctoqueueError as refused:
            message.stuff_exception(refused)
            message.fail()

    def _tell(self, registry: Registry, message: LeasedMessage, result: object) -> bool:
        """Keep what is told of a step, to be committed with its ack; False when it cannot be."""
        try:
            message.letters = completed(
                message.call,
                message.lease.payload,
                result,
                now_ms=SENDING_CLOCK.now_ms(),
                limit_bytes=registry.defaults.max_value_bytes,
            )
        except OctoqueueError as refused:
            message.stuff_exception(refused)
            message.fail()
            return False
        return True

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        """A message that was skipped has no result but that."""
        self.after_process_message(broker, message)

    def before_nack(self, broker: Broker, message: MessageProxy) -> None:
        """Tell the actor named by `on_dead_letter`, with the commit of the dead letter."""
        registry = cast("Registry", broker)
        if not isinstance(message, LeasedMessage) or message.last_words is not None:
            return  # dramatiq calls this again whenever the store was not there for the nack
        if message.actor_name not in registry.get_declared_actors():
            return
        actor = registry.executable(message.actor_name).options.on_dead_letter
        if actor is None:
            return
        record = reason_of(message.error or MessageRejected())
        attempt = message.header.attempt
        kwargs = dead_letter_kwargs(message.message_id, message.call, record, attempt=attempt)
        try:
            message.last_words = registry.follow_up(actor, (), kwargs, beside=message.header)
        except OctoqueueError as error:
            facts = {"actor": actor, "reason": str(error)}
            log.error("dead_letter_actor_failed", extra=facts)  # noqa: TRY400 - it says it all
