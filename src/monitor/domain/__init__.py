"""Pure decision functions, and the ports through which the shell carries out the decisions."""
