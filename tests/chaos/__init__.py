"""
Chaos: the product in production's shape under faults that a seed chooses, judged by the journals of those around it.

The journals are kept by the producer, the receivers, the users and the clients of the live feed. What the code under
test stores is compared with them, never the other way round.
"""
