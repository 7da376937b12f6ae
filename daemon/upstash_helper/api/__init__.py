"""The loopback HTTP surface: parses, calls the broker, renders. It decides nothing but who may come in."""
