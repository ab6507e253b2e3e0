"""KEDA manifests: written from the configuration, and checked for what hurts.

    Settings ─► components ─► ScaledObject, ScaledJob, TriggerAuthentication ─► YAML
    YAML ─► objects ─► rules ─► findings

`python -m scalers.manifests render` and `… validate`; see README.md. Nothing here talks to a
cluster: what a rule knows is what stands in the files it is given.
"""
