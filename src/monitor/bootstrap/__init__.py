"""Composition root: builds a process from its settings."""
