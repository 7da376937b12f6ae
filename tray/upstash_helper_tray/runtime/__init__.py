"""The tray process: command-line options, the instance lock, signals, and how the parts are wired."""
