"""Combinations that hurt, one module a subject; each rule says why and what to do."""
