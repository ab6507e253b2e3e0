from __future__ import annotations

import pytest

from octoqueue.errors import ConfigError
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId
from octoqueue.redis.calls.scope import scopes
from octoqueue.redis.keys import Keys

IDENT = MessageId(bytes(range(16)))
TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def test_keys_are_those_of_the_key_map() -> None:
    keys = Keys("oq")
    assert keys.lane(3, "coder", Lane.HIGH) == "{oq:3}:coder:high"
    assert keys.leased(3, "coder", SessionId("w1")) == "{oq:3}:coder:leased:w1"
    assert keys.delayed(3, "coder") == "{oq:3}:coder:delayed"
    assert keys.dead(3, "coder") == "{oq:3}:coder:dead"
    assert keys.dead_messages(3, "coder") == "{oq:3}:coder:dead:messages"
    assert keys.stats(3, "coder") == "{oq:3}:coder:stats"
    assert keys.workers(3) == "{oq:3}:workers"
    assert keys.result(3, IDENT) == f"{{oq:3}}:result:{TEXT}"
    assert keys.bell("coder") == "{oq:bell}:coder"
    assert keys.queues() == "{oq:meta}:queues"
    assert keys.done_channel(IDENT) == f"oq:done:{TEXT}"


@pytest.mark.parametrize("namespace", ["", "a:b", "{a", "a}"])
def test_a_namespace_that_would_break_the_hash_tag_is_refused(namespace: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Keys(namespace)
    assert caught.value.key == "namespace"


def test_namespaces_share_no_key() -> None:
    assert Keys("a").workers(1) != Keys("b").workers(1)


def test_a_single_redis_is_one_scope_with_bells_and_a_cluster_one_a_partition() -> None:
    (whole,) = scopes(Keys(), 4, cluster=False)
    assert (whole.partitions, whole.bells, whole.home) == ((0, 1, 2, 3), True, 0)
    apart = scopes(Keys(), 4, cluster=True)
    assert [scope.partitions for scope in apart] == [(0,), (1,), (2,), (3,)]
    assert not any(scope.bells for scope in apart)
    assert apart[2].stats("coder") == "{oq:2}:coder:stats"
    assert apart[2].workers() == "{oq:2}:workers"
