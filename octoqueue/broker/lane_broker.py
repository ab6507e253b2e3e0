"""`LaneBroker`: a `dramatiq.Broker` on a `LaneStore`.

A broker belongs to a process, a store to an event loop: the broker opens one store a loop, when it
is first needed there. Synchronous calls use the loop of the portal thread.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from dramatiq.middleware import AsyncIO

from octoqueue.broker.answering import AnsweringBroker
from octoqueue.broker.claim_checks import ClaimChecks, claim_checks_from
from octoqueue.broker.context import current_message
from octoqueue.broker.enveloping import Enveloper
from octoqueue.broker.executables import Executable, executable_from
from octoqueue.broker.gating import Gatekeeper
from octoqueue.broker.leased import LeasedMessage
from octoqueue.broker.loop_stores import LoopStores
from octoqueue.broker.middleware import EnqueueHooks, listeners, logged
from octoqueue.broker.options import Defaults
from octoqueue.broker.portal import Portal
from octoqueue.broker.schedules import Schedules
from octoqueue.broker.session_keeper import SessionKeeper
from octoqueue.broker.sources import SettingsSource, StoreSource, UrlSource
from octoqueue.broker.stack import adjust, default_middleware, defaults_from
from octoqueue.broker.translate import delay_of
from octoqueue.broker.workflow_objects import largest_value_bytes
from octoqueue.errors import ActorUnknown
from octoqueue.lanes.opening import lane_options_from
from octoqueue.primitives.retry import RetryPolicy
from octoqueue.settings.root import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Sequence

    import dramatiq
    from dramatiq.message import Message
    from dramatiq.middleware import Middleware

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.lanes.answers import Duplicates
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.envelope import Header
    from octoqueue.primitives.extension import UniqueKey
    from octoqueue.primitives.gates import Gates
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import Enqueue

R = TypeVar("R")

_MILLISECOND = timedelta(milliseconds=1)


class LaneBroker(AnsweringBroker):
    """The broker of octoqueue.

    Args:
        url: a Redis server; without one, what the configuration says.
        options: partitions, lease and bounds, when `url` is given.
        defaults: what holds for actors that say nothing.
        middleware: instead of the default stack.
        source: where stores come from, instead of `url`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        options: LaneOptions | None = None,
        defaults: Defaults | None = None,
        middleware: list[Middleware] | None = None,
        source: StoreSource | None = None,
    ) -> None:
        self.defaults = defaults or Defaults()
        self.claim_checks = ClaimChecks()
        self._executables: dict[str, Executable] = {}
        self._gatekeeper = Gatekeeper()
        self._enveloper = Enveloper(
            self._known, lambda: self.defaults.max_payload_bytes, self._gatekeeper.burst_of
        )
        self._enqueue_hooks = EnqueueHooks(self)
        self._own_stack = default_middleware(self.defaults)
        super().__init__(middleware=self._own_stack if middleware is None else middleware)
        self.queues: dict[str, None] = {}
        self.schedules = Schedules(self._enveloper, lambda: self._enqueue_hooks)
        self._url, self._url_options, self._own_source = url, options, source
        # Without options of its own a broker with a URL reads the configuration as any other: the
        # namespace and the partitions must be those of its workers.
        self._source = source or (UrlSource(url, options) if url and options else None)
        self._stores = LoopStores(self.another_store)
        self._portal = Portal()
        self._keeper = SessionKeeper(self.opened_store, gates=self.gates)

    # ── connecting ───────────────────────────────────────────────────────────────────────────────

    def configure(self, settings: Settings) -> None:
        """Take the configuration; stores opened before keep what they had.

        A URL or a source that the broker was given stays: what a program says itself holds.
        """
        runtime, lanes = settings.runtime, settings.lanes
        self.defaults = Defaults(
            retry=RetryPolicy(
                max_retries=runtime.max_retries,
                min_backoff=runtime.min_backoff,
                max_backoff=runtime.max_backoff,
            ),
            time_limit=runtime.time_limit,
            max_payload_bytes=lanes.max_payload_bytes,
            max_event_bytes=settings.events.max_bytes,
            max_value_bytes=largest_value_bytes(settings),
            max_deliveries=lanes.max_deliveries,
        )
        private = self._url is None and self._own_source is None
        self.claim_checks = claim_checks_from(settings, private=private)
        self._gatekeeper.configure(settings)
        adjust(self._own_stack, self.defaults)
        self._executables.clear()
        self._source = self._own_source or self._source_from(settings)

    def _source_from(self, settings: Settings) -> StoreSource:
        """What a program has written into its code holds, whatever is configured."""
        if self._url is None:
            return SettingsSource(settings)
        options = self._url_options or lane_options_from(settings)
        return UrlSource(self._url, options, cluster=settings.redis.topology == "cluster")

    @contextmanager
    def standing_on(self, source: StoreSource) -> Generator[None]:
        """Take stores from `source` for the length of the block, whatever is configured."""
        before = self._own_source, self._source, self._stores
        self._own_source = self._source = source
        self._stores = LoopStores(self.another_store)
        try:
            yield
        finally:
            self._own_source, self._source, self._stores = before

    @asynccontextmanager
    async def connected(self, settings: Settings | None = None) -> AsyncGenerator[LaneBroker]:
        """Open the store of this event loop for the time of the block, and for blocks inside it."""
        if settings is not None:
            self.configure(settings)
        async with self._stores.open_here():
            yield self

    async def another_store(self) -> LaneStore:
        """Return a store of the caller's own for the running loop; the caller closes it."""
        await self._configured()
        assert self._source is not None  # noqa: S101 - `_configured` has seen to it
        return await self._source.open()

    async def _configured(self) -> None:
        if self._source is None:
            self.configure(await asyncio.to_thread(Settings.load))

    def store(self) -> LaneStore:
        """Return the store of the running loop, which must be open.

        Raises:
            DeclarationError: it is not; `connected` opens it.
        """
        return self._stores.opened()

    async def aclose(self) -> None:
        """Close the store of the running loop. Idempotent."""
        await self._stores.aclose()

    def run_blocking(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine where synchronous calls run, and return its result.

        Raises:
            concurrent.futures.CancelledError: the broker was closed meanwhile.
        """
        return self._portal.run(coroutine)

    def close(self) -> None:
        """Close what synchronous calls opened. Idempotent."""
        if self._portal.running:
            self._portal.run(self._keeper.stop())
            self._portal.run(self.aclose())
        self._portal.close()

    # ── declaring ────────────────────────────────────────────────────────────────────────────────

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known to this process. Idempotent."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def declare_actor(self, actor: dramatiq.Actor[..., Any]) -> None:
        """Make an actor known to this process.

        Raises:
            DeclarationError: an option has an impossible value.
        """
        executable = executable_from(self, actor, self.defaults)
        self._gatekeeper.admit(actor.actor_name, executable.admission)
        self.emit_before("declare_actor", actor)
        self.declare_queue(actor.queue_name)
        self.actors[actor.actor_name] = actor
        self.emit_after("declare_actor", actor)

    def add_middleware(
        self,
        middleware: Middleware,
        *,
        before: type[Middleware] | None = None,
        after: type[Middleware] | None = None,
    ) -> None:
        """Add middleware; actors already declared get its hooks too."""
        if isinstance(middleware, AsyncIO) and any(isinstance(m, AsyncIO) for m in self.middleware):
            return  # one event loop thread is enough, and the default stack has it
        super().add_middleware(middleware, before=before, after=after)
        self._executables.clear()
        self._enqueue_hooks = EnqueueHooks(self)

    def executable(self, actor_name: str) -> Executable:
        """Return how to run an actor.

        Raises:
            ActorUnknown: it is not declared in this process.
        """
        found = self._executables.get(actor_name)
        if found is None:
            if actor_name not in self.actors:
                raise ActorUnknown(actor_name, known=tuple(sorted(self.get_declared_actors())))
            actor = self.actors[actor_name]
            defaults = defaults_from(self.middleware, self.defaults)
            found = self._executables[actor_name] = executable_from(self, actor, defaults)
        return found

    def gates(self) -> Gates:
        """Return the caps, limits and shares that this process knows of."""
        found = (self.executable(name).admission for name in self.get_declared_actors())
        return self._gatekeeper.gates(admission for admission in found if admission is not None)

    def has_listeners(self, hook: str) -> bool:
        """Return whether some middleware of the program has a hook."""
        return bool(listeners(self.middleware, hook))

    def announce(self, hook: str, *facts: object) -> None:
        """Call a hook of the worker's life, such as `after_worker_boot`; it may block."""
        for middleware in listeners(self.middleware, hook):
            with logged(hook, too_late=hook.startswith("after")):
                getattr(middleware, hook)(self, *facts)

    # ── enqueueing ───────────────────────────────────────────────────────────────────────────────

    def enqueue(self, message: Message[R], *, delay: int | None = None) -> Message[R]:
        """Enqueue a message; `delay` in milliseconds. Blocks until it is accepted.

        Raises:
            EnqueueError: it was not accepted; nothing was stored.
            StoreUnavailable: whether it was accepted is unknown.
        """
        return self.enqueue_many([message], delay=delay)[0]

    def enqueue_many(
        self, messages: Sequence[Message[Any]], *, delay: int | None = None
    ) -> list[MessageHandle[Any]]:
        """Enqueue messages, all or none; blocks until they are accepted; raises like `enqueue`."""
        if self._source is None:
            self._portal.run(self._configured())
        self._enqueue_hooks.before(messages, delay)
        duplicates: Duplicates | None = None
        first: object = messages[0] if messages else None
        if isinstance(first, LeasedMessage):  # dramatiq's worker tries it again
            group = [first.again(delay or 0)]
        else:
            group = self._enveloper.prepared(messages, delay or 0)
            if not self._kept(group):
                duplicates = self._portal.run(self._send(group))
        self._enqueue_hooks.after(messages, delay)
        return self._handles(messages, group, duplicates)

    async def aenqueue(
        self, message: Message[R], *, delay: timedelta = timedelta(0)
    ) -> MessageHandle[R]:
        """Enqueue a message; raises like `enqueue`."""
        if self._source is None:
            await self._configured()
        delay_ms = delay // _MILLISECOND if delay else 0
        messages = (message,)
        self._enqueue_hooks.before(messages, delay_ms)
        sent = self._enveloper.prepared_one(message, delay_ms)
        group = [sent]
        duplicates = None if self._kept(group) else await self._send(group)
        self._enqueue_hooks.after(messages, delay_ms)
        return self._handle(message, sent, duplicates)

    async def aenqueue_many(
        self, messages: Sequence[Message[Any]], *, delay: timedelta = timedelta(0)
    ) -> list[MessageHandle[Any]]:
        """Enqueue messages, all or none; raises like `enqueue`."""
        if self._source is None:
            await self._configured()
        delay_ms = delay // _MILLISECOND
        self._enqueue_hooks.before(messages, delay_ms)
        group = self._enveloper.prepared(messages, delay_ms)
        duplicates = None if self._kept(group) else await self._send(group)
        self._enqueue_hooks.after(messages, delay_ms)
        return self._handles(messages, group, duplicates)

    async def aenqueue_through(
        self,
        way: Callable[[Sequence[Enqueue]], Awaitable[object]],
        messages: Sequence[Message[Any]],
    ) -> list[MessageHandle[Any]]:
        """Hand what would be enqueued to `way`, which sees to it; raises like `enqueue`."""
        if self._source is None:
            await self._configured()
        self._enqueue_hooks.before(messages, 0)
        group = self._enveloper.prepared(messages, 0)
        await way(group)
        self._enqueue_hooks.after(messages, 0)
        return self._handles(messages, group, None)

    def enveloped(self, message: Message[Any], *, delay_ms: int) -> Enqueue:
        """Return what would be enqueued; the same again for the same message.

        Raises:
            EnqueueError: it cannot be enqueued.
        """
        return self._enveloper.envelope(message, delay_of(message, delay_ms), None)

    def enveloped_step(
        self, message: Message[Any], *, lane: Lane, tenant: str, unique: UniqueKey, delay_ms: int
    ) -> Enqueue:
        """Return a workflow's step as it is enqueued; no middleware is asked.

        Raises:
            EnqueueError: it cannot be enqueued.
        """
        return self._enveloper.step(
            message, lane=lane, tenant=tenant, unique=unique, delay_ms=delay_ms
        )

    def follow_up(
        self, actor_name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, beside: Header
    ) -> Enqueue:
        """Return a message for an actor, in the lane and partition of the message it follows.

        Raises:
            ActorUnknown: the actor is not declared in this process.
        """
        self.executable(actor_name)
        build: Any = getattr(self.actors[actor_name], "message_with_options")  # noqa: B009 - untyped
        message: Message[Any] = build(args=args, kwargs=kwargs, lane=beside.lane.label)
        return self._enveloper.envelope(message, 0, beside.message_id)

    def _kept(self, group: list[Enqueue]) -> bool:
        """Whether a running message keeps the group for its own commit."""
        context = current_message()
        if context is None:
            return False
        context.refuse_cycles(group)
        return context.keep(group)

    def result_ttl_of(self, actor_name: str) -> timedelta:
        """Return how long the results of an actor are kept."""
        actor = self._known(actor_name)
        ttl_ms = None if actor is None else actor.options.result_ttl_ms
        return self.defaults.result_ttl if ttl_ms is None else timedelta(milliseconds=ttl_ms)

    def _known(self, actor_name: str) -> Executable | None:
        found = self._executables.get(actor_name)
        if found is None and actor_name in self.actors:
            return self.executable(actor_name)
        return found
