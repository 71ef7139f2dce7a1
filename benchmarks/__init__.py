"""``python -m benchmarks`` times the product, ``python -m benchmarks.detection`` scores what it detects."""
