"""Repositories of one unit of work; see its module for failures."""
