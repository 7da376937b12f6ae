"""The daemon's connection to one Upstash account: signing in, the credential, disconnecting."""
