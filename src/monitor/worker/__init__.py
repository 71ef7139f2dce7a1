"""Delivery workers and periodic jobs."""
