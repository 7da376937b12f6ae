"""upstash-helper: a local daemon that alone holds the Upstash credentials of its user."""

__version__ = "0.1.0"
__released__ = ""
"""The day on which that version was released, as CHANGELOG.md has it: ``YYYY-MM-DD``; empty before that day."""
