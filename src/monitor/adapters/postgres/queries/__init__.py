"""Reads outside any unit of work."""
