"""The loopback HTTP API: checks, parses, and renders requests. All decisions but access control are the broker's."""
