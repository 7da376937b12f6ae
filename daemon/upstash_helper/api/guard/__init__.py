"""Decides who may call what: Host, Origin, token, scope, user, rate limits, and the audit of requests."""
