"""``doctor``: the checks, and the report for a bug."""
