"""The manual pages and the completion scripts."""
