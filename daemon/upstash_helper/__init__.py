"""upstash-helper: a local daemon that alone holds the Upstash credentials of its user."""

__version__ = "0.1.0"
