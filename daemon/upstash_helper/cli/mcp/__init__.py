"""The stdio bridge: an agent starts it as a command, and it forwards each message to the daemon's ``/mcp``."""
