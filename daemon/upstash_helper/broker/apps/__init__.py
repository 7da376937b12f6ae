"""The apps on this machine: their requests for access, the user's decisions, and their tokens."""
