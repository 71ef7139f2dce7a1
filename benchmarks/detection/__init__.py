"""
Detection benchmark: false alarms and time to detect on simulated traffic, beside two yardsticks.

Run ``python -m benchmarks.detection --help``. Nothing here reads a clock; equal seeds give equal tables.
"""
