"""``demo``: the main job on a local sandbox."""
