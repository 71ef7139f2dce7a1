"""Bodies of requests to chat services, push services and pagers, one file a format."""
