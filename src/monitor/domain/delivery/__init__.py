"""Delivery: outcome, retry schedule, circuit breaker, rate limit, fan-out. Pure."""
