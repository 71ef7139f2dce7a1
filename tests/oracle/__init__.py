"""Other implementations of what the product does, to hold it against."""
