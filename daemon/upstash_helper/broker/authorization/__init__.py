"""The daemon as an authorization server (OAuth 2.1) for its own MCP endpoint."""
