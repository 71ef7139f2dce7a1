"""Settings: schema, environment, reference document."""
