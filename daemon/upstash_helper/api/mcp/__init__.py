"""The Model Context Protocol: the daemon's tools for local agents, at ``/mcp``."""
