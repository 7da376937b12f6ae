"""The daemon's core logic: connection, apps, databases, events. It uses no HTTP, no disk, and no keyring itself."""
