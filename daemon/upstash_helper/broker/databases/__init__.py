"""The account's databases: listing, creating, changing, and requests that are passed through."""
