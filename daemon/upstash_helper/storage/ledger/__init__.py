"""The ledger, one SQLite file: apps, pairings, the audit, and the journal of created databases."""
