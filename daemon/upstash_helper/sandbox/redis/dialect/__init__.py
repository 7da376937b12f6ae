"""What Upstash's Redis understands and Valkey does not, and what it refuses."""
