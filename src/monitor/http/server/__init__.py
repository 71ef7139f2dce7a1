"""The HTTP server's connections."""
