"""Upstash: its authorization server, its API keys, and its Developer API, over one HTTP client."""
