"""Settings, profiles, and the folders of a profile."""
