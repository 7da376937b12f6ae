"""Credential stores: the system's keyring, a private file, and memory."""
