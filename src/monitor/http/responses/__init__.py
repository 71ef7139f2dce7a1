"""Response bodies and headers."""
