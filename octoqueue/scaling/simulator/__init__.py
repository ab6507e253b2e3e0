"""Replaying a trace through a scaling rule in virtual time: `simulating.simulate(trace, …)`.

    traces.StepTrace | RequestTrace ─► fleets.Workload ─► fleets.FleetModel ◄─ loops ◄─ views.Rule
                                              └────────► report.Report

`reading.read_trace` reads traces, `rules` has rules to compare with, `policy_rule.PolicyRule` is a
policy that decides by the code that runs live. It stands on numpy (extra `forecast`); no worker and
no scaler imports it.
"""
