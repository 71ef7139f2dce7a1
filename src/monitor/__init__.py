"""Monitor delivers webhooks and monitors them."""

__version__ = "0.1.0"
