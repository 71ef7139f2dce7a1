"""Decisions as pure functions, and the ports through which the shell carries them out."""
