"""
A local Upstash: sign-in, Developer API and data plane on real databases. A process of its own.

Nothing of the daemon imports this package, and it imports nothing of the daemon: they meet over HTTP alone.
"""
