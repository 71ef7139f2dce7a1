"""Bearer tokens and the keys that verify them. Free of HTTP and SQL."""
