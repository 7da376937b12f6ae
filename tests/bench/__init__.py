"""What the daemon costs, next to a bare aiohttp server in the same run: ``python -m tests.bench``."""
