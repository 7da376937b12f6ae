"""The menu as data: a pure function of the tray's state."""
