"""Replaying a trace through a scaling rule in virtual time: `simulate(trace, …) -> Report`.

    StepTrace | RequestTrace ─► Workload ─► FleetModel ◄─ Loop ◄─ Rule.wanted(View)
                                    └──────────► Report

It stands on numpy (extra `forecast`); no worker and no scaler imports it.
"""

from __future__ import annotations

from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Outage, Workload
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.report import Minutes, Report
from octoqueue.scaling.simulator.rules import (
    Clairvoyant,
    CpuUtilization,
    QueueDepth,
    Static,
    TrailingMaximum,
    minute_loads,
    smallest_fleets,
)
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.tokens import TokenTimes
from octoqueue.scaling.simulator.traces import RequestTrace, StepTrace, Trace
from octoqueue.scaling.simulator.views import Rule, Service, View

__all__ = [
    "Clairvoyant",
    "CpuUtilization",
    "Durations",
    "FleetModel",
    "Minutes",
    "Outage",
    "PolicyRule",
    "QueueDepth",
    "Report",
    "RequestTrace",
    "Rule",
    "Service",
    "Static",
    "StepTrace",
    "TokenTimes",
    "Trace",
    "TrailingMaximum",
    "View",
    "Workload",
    "minute_loads",
    "read_trace",
    "simulate",
    "smallest_fleets",
]
