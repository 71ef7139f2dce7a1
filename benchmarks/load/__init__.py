"""The load test: ``python -m benchmarks.load`` sets the stage, ``tests/load_test.py`` is what its users do."""
