"""What the daemon and its clients know alike of a system's keyrings: which are trusted, and how one is unlocked."""
