"""Keeping the tray's state in step with the daemon."""
