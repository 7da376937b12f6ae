"""upstash-helper: a local daemon that keeps its user's Upstash credentials and lets apps use them."""

__version__ = "0.1.0"
__released__ = ""
"""Release date of that version as in CHANGELOG.md, ``YYYY-MM-DD``; empty before the release."""
