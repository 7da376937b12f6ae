"""What the daemon and its clients share: wire types, messages, the discovery file, the lock, and their errors."""
