"""
A local Upstash for development and tests: sign-in, Developer API, and real databases with their REST API.

It runs as its own process. The daemon and the sandbox do not import each other; they communicate only over HTTP.
"""
