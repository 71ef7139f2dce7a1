"""Read models: the bodies of API responses."""
