"""Access control: Host, Origin, token, scope, operating-system user, and rate limit, plus the audit of requests."""
