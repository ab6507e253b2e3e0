"""What `make generate` makes of `proto/externalscaler.proto`. Nobody writes here."""
