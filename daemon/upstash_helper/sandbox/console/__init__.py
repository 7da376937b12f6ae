"""The sandbox's own console, for the developer who runs it."""
