"""`Admission`: what stands between the messages of one actor and a slot, resolved once.

It evaluates the functions an actor declares (units, keys) on the arguments of a call, so that the
store gets plain names and numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octoqueue.broker.limiting import LimitedUse, RateLimit, require_name, uses_from
from octoqueue.broker.unique import BY_KEY, KeyOf, Unique, unique_key
from octoqueue.errors import DeclarationError, InvalidMessage
from octoqueue.primitives.extension import MOST_NAME_BYTES, Extension, UniqueKey
from octoqueue.primitives.ids import affinity_of_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dramatiq.message import Message

    from octoqueue.primitives.extension import LimitUse

ADMISSION_OPTIONS = frozenset({"concurrency", "limits", "unique"})
"""What an actor may declare of it."""

MOST_CONCURRENCY = 1_000_000


class Admission:
    """The cap, the limits and the unique key of one actor."""

    __slots__ = ("_keys", "caps", "concurrency", "limits", "unique")

    def __init__(
        self,
        actor: str,
        function: Callable[..., Any],
        *,
        concurrency: int | None,
        limits: tuple[LimitedUse, ...],
        unique: Unique | None,
    ) -> None:
        self.concurrency = concurrency
        self.caps = () if concurrency is None else (cap_of(actor),)
        self.limits = limits
        self.unique = unique
        self._keys = None if unique is None else KeyOf(actor, unique, function)

    @property
    def refuses_duplicates(self) -> bool:
        """Whether the sender of a duplicate gets an error."""
        return self.unique is not None and self.unique.on_duplicate == "error"

    def unique_key(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], own: str | None
    ) -> UniqueKey | None:
        """Return the unique key of a call; `own` is the one its sender gives it.

        Raises:
            EnqueueError: it cannot be told.
        """
        return None if self._keys is None else self._keys.of(args, kwargs, own=own)

    def extension(
        self, message: Message[Any], *, burst_of: Callable[[RateLimit], int]
    ) -> Extension:
        """Return what the store must know of a message.

        Raises:
            EnqueueError: a value is impossible, or a function failed; names the field.
        """
        uses = self.uses(message, burst_of=burst_of)
        key = unique_key_of(self, message.actor_name, message.args, message.kwargs, message.options)
        return Extension(key, tenant_of(message.options), self.caps, uses)

    def uses(
        self, message: Message[Any], *, burst_of: Callable[[RateLimit], int]
    ) -> tuple[LimitUse, ...]:
        """Return what a message takes out of limits; raises like `extension`."""
        args, kwargs = message.args, message.kwargs
        return tuple(use.of(args, kwargs, most=burst_of(use.limit)) for use in self.limits)


def admission_from(
    actor: str, function: Callable[..., Any], options: Mapping[str, Any]
) -> Admission | None:
    """Return what an actor declares, None when it declares nothing of it.

    Raises:
        DeclarationError: a value is impossible; names it.
    """
    if ADMISSION_OPTIONS.isdisjoint(options):
        return None
    owner = f"actor {actor!r}"
    concurrency = options.get("concurrency")
    if concurrency is not None:
        if (
            not isinstance(concurrency, int)
            or isinstance(concurrency, bool)
            or not 1 <= concurrency <= MOST_CONCURRENCY
        ):
            raise DeclarationError(
                f"{owner}: concurrency is {concurrency!r}, it must be 1 to {MOST_CONCURRENCY:,}"
            )
        require_name(f"{owner}: the name of its concurrency cap", cap_of(actor))
    unique = options.get("unique")
    if unique is not None and not isinstance(unique, Unique):
        raise DeclarationError(f"{owner}: unique is {unique!r}, it must be octoqueue.Unique(...)")
    limits = options.get("limits")
    uses = () if limits is None else uses_from(owner, limits)
    if concurrency is None and not uses and unique is None:
        return None
    return Admission(actor, function, concurrency=concurrency, limits=uses, unique=unique)


def extension_from(
    message: Message[Any],
    admission: Admission | None,
    *,
    burst_of: Callable[[RateLimit], int],
) -> Extension | None:
    """Return what the store must know of a message, None when there is nothing.

    Raises:
        EnqueueError: a value is impossible, or a function failed; names the field.
    """
    if admission is not None:
        return admission.extension(message, burst_of=burst_of)
    key = unique_key_of(None, message.actor_name, (), {}, message.options)
    tenant = tenant_of(message.options)
    return Extension(key, tenant) if tenant or key is not None else None


def unique_key_of(
    admission: Admission | None,
    actor: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Mapping[str, Any],
) -> UniqueKey | None:
    """Return the unique key of a call, with the options it is sent with.

    Raises:
        EnqueueError: it cannot be told.
    """
    own = _name_in(options, "unique")
    if admission is not None and admission.unique is not None:
        return admission.unique_key(args, kwargs, own)
    return None if own is None else unique_key(actor, own, BY_KEY)


def tenant_of(options: Mapping[str, Any]) -> str:
    """Return the tenant in the options of a message, empty when there is none.

    Raises:
        InvalidMessage: it is no name.
    """
    tenant = _name_in(options, "tenant")
    if tenant is not None and len(tenant.encode()) > MOST_NAME_BYTES:
        raise InvalidMessage("tenant", f"{tenant[:20]!r}… is longer than {MOST_NAME_BYTES} bytes")
    return tenant or ""


def _name_in(options: Mapping[str, Any], field: str) -> str | None:
    value: object = options.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidMessage(field, f"{value!r} is no name")
    return value


def affinity_from(unique: UniqueKey | None, tenant: str) -> bytes | None:
    """Return what decides the partition of a message, None when nothing does.

    Messages with one unique key lie in one partition, and so do those of a tenant without any: the
    lock and the tenant's cap are exact there, also on Redis Cluster.
    """
    if unique is not None:
        return unique.digest
    return affinity_of_name(tenant) if tenant else None


def cap_of(actor: str) -> str:
    """Return the name of the concurrency cap of an actor."""
    return f"actor:{actor}"
