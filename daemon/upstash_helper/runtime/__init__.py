"""The daemon's process: composition, listeners, logs, signals, systemd, and exit when idle."""
