"""Ports: one protocol per boundary, each with its failure policy."""
