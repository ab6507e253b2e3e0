from __future__ import annotations

import asyncio

import pytest
from redis import exceptions as of_redis

from octoqueue.errors import StoreProtocolError, StoreUnavailable
from octoqueue.redis.failures import cancellable, translated

UNAVAILABLE = [
    of_redis.ConnectionError("Connection refused"),
    of_redis.TimeoutError("Timeout reading from socket"),
    of_redis.BusyLoadingError("Redis is loading the dataset in memory"),
    of_redis.MaxConnectionsError("Too many connections"),
    of_redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
    of_redis.ReadOnlyError("You can't write against a read only replica."),
    of_redis.ClusterDownError("CLUSTERDOWN The cluster is down"),
    of_redis.TryAgainError("Multiple keys request during rehashing of slot"),
    of_redis.RedisClusterException("Redis Cluster cannot be connected."),
    of_redis.SlotNotCoveredError('Slot "7" is not covered by the cluster.'),
    of_redis.ResponseError("MISCONF Errors writing to the AOF file"),
    of_redis.ResponseError("BUSY Redis is busy running a script."),
    of_redis.ResponseError("NOREPLICAS Not enough good replicas to write."),
    of_redis.ResponseError(
        "Error running script (call to f_1): @user_script:9: @user_script: 9: "
        "-OOM command not allowed when used memory > 'maxmemory'. "
    ),
    of_redis.ResponseError(
        "Error running script (call to f_1): @user_script:9: @user_script: 9: "
        "-READONLY You can't write against a read only replica. "
    ),
    ConnectionResetError("Connection lost"),
    FileNotFoundError(2, "No such file or directory"),
    TimeoutError(),
    AttributeError("'NoneType' object has no attribute 'writelines'"),
]
REFUSED = [
    of_redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    of_redis.ResponseError("unknown command `NOPE`"),
    of_redis.NoPermissionError("this user has no permissions to run the 'evalsha' command"),
    of_redis.RedisClusterException("EVALSHA - all keys must map to the same key slot"),
    of_redis.DataError("Invalid input of type: 'NoneType'."),
]


@pytest.mark.parametrize("error", UNAVAILABLE, ids=lambda error: f"{type(error).__name__}:{error}")
def test_what_passes_by_itself_is_unavailable_and_may_be_tried_again(error: Exception) -> None:
    found = translated(error)
    assert type(found) is StoreUnavailable
    assert found.retryable
    assert str(error) in str(found)


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: f"{type(error).__name__}:{error}")
def test_what_will_be_refused_again_is_a_protocol_error(error: Exception) -> None:
    found = translated(error)
    assert type(found) is StoreProtocolError
    assert not found.retryable


def test_an_error_without_words_is_named() -> None:
    assert "TimeoutError" in str(translated(TimeoutError()))


async def swallowing(*, then: Exception | None = None) -> str:
    """Does what redis-py did: is cancelled, and ends as if it had not been."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if then is not None:
            raise then from None
    return "done"


@pytest.mark.parametrize("then", [None, OSError("closed")])
async def test_a_swallowed_cancellation_is_raised(then: Exception | None) -> None:
    task = asyncio.create_task(cancellable_work(then))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def cancellable_work(then: Exception | None) -> str:
    answer: str = await cancellable(swallowing(then=then))
    return answer


async def test_what_is_not_cancelled_is_answered_and_raised_as_it_is() -> None:
    assert await cancellable(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(TimeoutError):
        await cancellable(asyncio.wait_for(asyncio.Event().wait(), 0.001))


async def test_what_uvloop_says_of_a_lost_connection_is_a_lost_connection() -> None:
    said = "unable to perform operation on <UnixTransport closed=True>; the handler is closed"
    with pytest.raises(of_redis.ConnectionError, match="handler is closed"):
        await cancellable(failing(RuntimeError(said)))
    with pytest.raises(RuntimeError, match="loop"):
        await cancellable(failing(RuntimeError("Event loop is closed")))


async def failing(error: Exception) -> None:
    raise error


async def test_a_timeout_around_it_is_still_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await cancellable(swallowing())
