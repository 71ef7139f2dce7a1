"""Health and metrics of a webhook. Pure."""
