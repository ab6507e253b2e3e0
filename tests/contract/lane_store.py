"""The contract of `LaneStore`: every implementation runs these classes.

A test module subclasses `LaneStoreContract` and gives two fixtures, `make` (a `MakesStores`) and
`world` (what `make()` returned). A store that sees all its partitions in one call also runs
`WholeNamespaceContract`.
"""

from __future__ import annotations

from tests.contract.announcing import Announcing
from tests.contract.arrivals import CountingArrivals
from tests.contract.bells import Bells, ClaimsAtTheBell, QuietBells
from tests.contract.cancelling import Cancelling, CancellingWhatRuns, Finding, Moving
from tests.contract.claiming import Claiming, ClaimingTheUndecodable
from tests.contract.dead_letters import Purging, Replaying
from tests.contract.enqueuing import Bounding, Enqueuing, GroupingOverPartitions
from tests.contract.enqueuing_once import EnqueuingOnce
from tests.contract.events import Emitting, Ending, Keeps
from tests.contract.gating import Capping, CappingQueues, GrowingOld, Limiting, TakingTurns
from tests.contract.held_back import HoldingBack
from tests.contract.history import Remembering
from tests.contract.life import Pausing, Snoozing
from tests.contract.reading import Flushing, Reading
from tests.contract.results import Closing, Results
from tests.contract.schedules import Beginning, Firing
from tests.contract.sessions import Expiring, ManySessions, Sessions
from tests.contract.settling import Acking, Following, Settling
from tests.contract.signals import ReadingSignals, SayingWhoIsThere
from tests.contract.unique import BeingUnique, FollowingUniquely, Releasing, ReplayingUniquely
from tests.contract.upkeep import Promoting


class LaneStoreContract(
    Enqueuing,
    EnqueuingOnce,
    Bounding,
    Claiming,
    ClaimingTheUndecodable,
    Acking,
    Settling,
    Following,
    Sessions,
    Expiring,
    Bells,
    ClaimsAtTheBell,
    Promoting,
    Beginning,
    Firing,
    Reading,
    ReadingSignals,
    CountingArrivals,
    SayingWhoIsThere,
    Flushing,
    Replaying,
    Purging,
    Pausing,
    Snoozing,
    BeingUnique,
    Releasing,
    FollowingUniquely,
    ReplayingUniquely,
    Cancelling,
    CancellingWhatRuns,
    Finding,
    Moving,
    Remembering,
    TakingTurns,
    Capping,
    CappingQueues,
    Limiting,
    GrowingOld,
    HoldingBack,
    Results,
    Announcing,
    Emitting,
    Ending,
    Keeps,
    Closing,
):
    """What every store promises."""


class WholeNamespaceContract(GroupingOverPartitions, ManySessions, QuietBells):
    """What a store promises that moves all partitions in one step."""
