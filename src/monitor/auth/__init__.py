"""Bearer tokens and the keys that verify them. Independent of HTTP and SQL."""
