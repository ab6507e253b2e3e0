"""Actors as the threads of dramatiq's own worker call them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from dramatiq.errors import Retry as DramatiqRetry

from octoqueue.broker.batch_option import answers_of, check_batch_call
from octoqueue.errors import Discard, Retry, Snooze

if TYPE_CHECKING:
    import dramatiq

_MILLISECOND = timedelta(milliseconds=1)


class WorkerThreadActor:
    """An actor in a thread of dramatiq's worker; all but the call is the actor's own."""

    def __init__(self, actor: dramatiq.Actor[..., Any]) -> None:
        self._actor = actor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._actor, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, a coroutine on dramatiq's event loop, with our wishes as dramatiq's.

        Raises:
            DramatiqRetry: the actor asked to be run again.
        """
        try:
            return self._called(*args, **kwargs)
        except Discard:
            return None
        except (Retry, Snooze) as wish:
            delay_ms = None if wish.delay is None else wish.delay // _MILLISECOND
            raise DramatiqRetry(str(wish), delay=delay_ms) from wish

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        return self._actor.fn(*args, **kwargs)


class WorkerThreadBatchActor(WorkerThreadActor):
    """A batch actor in a thread of dramatiq's worker: every batch is of one message."""

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        check_batch_call(self._actor.actor_name, args, kwargs)
        returned = self._actor.fn(list(args))
        ((result, error),) = answers_of(returned, 1, actor=self._actor.actor_name)
        if error is not None:
            raise error
        return result
