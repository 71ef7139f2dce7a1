"""Writes inside one unit of work."""
