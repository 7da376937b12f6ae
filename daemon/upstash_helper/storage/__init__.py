"""Where things are kept: the credential, in the system's keyring, in a private file, or in memory alone."""
