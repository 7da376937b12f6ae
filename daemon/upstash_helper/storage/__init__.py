"""What the daemon stores: the credential, and the ledger."""
