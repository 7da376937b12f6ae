"""The tray icon: a process of its own and a client of the loopback API."""
