"""The account's databases, and pass-through requests to the Developer API."""
