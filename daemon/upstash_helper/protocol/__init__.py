"""What the daemon and its clients share: wire types, the discovery file, the lock, and their errors."""
