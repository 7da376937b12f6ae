"""The daemon as an authorization server for ``/mcp``: its metadata, registration, sign-in page, and tokens."""
