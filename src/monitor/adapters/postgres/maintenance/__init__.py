"""Periodic work on the tables: partitions, rollups, retention."""
