"""Measures the daemon's cost, relative to a bare aiohttp server in the same run: ``python -m tests.bench``."""
