"""The command line: a client of the loopback API, like any app. `upstash-helper run` becomes the daemon."""
