"""Security screening of text by fixed rules: what the guardian arm reports.

`patterns` finds personal data, secrets and attempts at injection; `checklists` says what to look at
when a kind of system is to be analysed. Same text, same findings.

The weakness: rules find what they describe. A clean report means that none of them matched, not
that a text is harmless; nothing here lets or stops anything.
"""
