"""Which of several databases keeps a partition. Pure."""

from __future__ import annotations

from octoqueue.errors import ConfigError


def shards_of_partitions(partitions: int, shards: int) -> tuple[int, ...]:
    """Return the shard of each partition.

    Shards have equally many, give or take one. A shard that is added takes as many as it needs, and
    nothing else moves, as with consistent hashing; ten partitions are too few to be hashed evenly.

    Raises:
        ConfigError: there are no shards, or more than partitions.
    """
    if not 1 <= shards <= partitions:
        raise ConfigError(
            f"there are {shards} shards for {partitions} partitions; give one to each at most",
            key="workflows.shards",
        )
    homes: list[list[int]] = [list(range(partitions))]
    while len(homes) < shards:
        fresh: list[int] = []
        while len(fresh) < partitions // (len(homes) + 1):
            fullest = max(homes, key=len)
            fresh.append(fullest.pop())
        homes.append(fresh)
    shard_of = {partition: shard for shard, home in enumerate(homes) for partition in home}
    return tuple(shard_of[partition] for partition in range(partitions))
