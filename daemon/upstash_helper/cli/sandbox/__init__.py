"""``sandbox up`` and the commands that belong to it: a sandbox, a daemon that uses it, and a database."""
