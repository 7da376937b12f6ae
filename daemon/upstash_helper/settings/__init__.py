"""The user's settings, and the profiles that keep them and the daemon's files apart."""
