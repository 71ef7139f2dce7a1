"""What the processes share through Redis."""
