"""The tray's state, kept in sync with the daemon."""
