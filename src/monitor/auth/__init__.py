"""Bearer tokens and the keys that verify them. Knows neither HTTP nor SQL."""
