"""
For the tests of other projects: a sandbox that approves every access request automatically.

``pytest_plugin`` has fixtures for pytest. ``upstash-sandbox.mjs`` is for tests in Node; ``upstash-helper sandbox
node-helper`` writes it to a folder.
"""
