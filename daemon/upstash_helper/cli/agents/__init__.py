"""The configuration of agents: which are on this computer, and how each is told to use upstash-helper."""
