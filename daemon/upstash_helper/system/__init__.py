"""The operating system: private files, blocking calls, keyrings, notifications, sockets, and peers."""
