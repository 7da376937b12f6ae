"""What the daemon decides: connections, databases, events. No HTTP, no disk, no keyring in here."""
