"""Monitor delivers webhooks and watches them."""

__version__ = "0.1.0"
