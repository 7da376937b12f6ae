"""The differences between Upstash's Redis and Valkey: commands that only Upstash has, and commands that it refuses."""
