"""Webhooks: configuration, registration, signatures."""
