"""Controllers, by resource."""
