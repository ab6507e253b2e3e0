"""The contract of `WorkflowStore`: every implementation runs this class.

A test module subclasses it and gives two fixtures: `store`, empty, and `age`, which makes the
leases of all orchestrators that much older.
"""

from __future__ import annotations

from tests.contract.workflow_given_up import WorkflowGivenUpContract
from tests.contract.workflow_holds import WorkflowHoldsContract
from tests.contract.workflow_starts import WorkflowStartsContract
from tests.contract.workflow_turns import WorkflowTurnsContract


class WorkflowStoreContract(
    WorkflowStartsContract, WorkflowTurnsContract, WorkflowGivenUpContract, WorkflowHoldsContract
):
    """What every store of workflows does."""
