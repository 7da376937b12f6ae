"""The operating system: private files, keyrings, worker threads, notifications, ports, and peers of connections."""
