from __future__ import annotations

from octoqueue.primitives.ids import MessageId
from octoqueue.routing.partitions import PartitionMap

EARLIER = (0, 1, 7, 5, 9, 5, 0, 7, 5, 0, 5, 7)


def test_the_map_is_the_one_that_messages_already_lie_by() -> None:
    """A message stored yesterday is looked for where this table says: it may never change."""
    mapped = PartitionMap(10)
    ids = (MessageId(bytes(14) + slot.to_bytes(2)) for slot in range(0, 1_024, 89))
    assert tuple(mapped.of_id(ident) for ident in ids) == EARLIER
    assert mapped.of_key("workflow-1") == 3


def test_only_the_last_ten_bits_place_an_id() -> None:
    mapped = PartitionMap(10)
    for high in range(64):
        ident = MessageId(b"\xff" * 14 + bytes([high << 2, 7]))
        assert mapped.of_id(ident) == mapped.of_id(MessageId(bytes(14) + b"\0\7"))
