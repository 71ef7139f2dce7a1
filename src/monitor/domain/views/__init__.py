"""Read models: what the API answers."""
