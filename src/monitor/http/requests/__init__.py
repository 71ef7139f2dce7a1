"""Parsing of request bodies and parameters."""
