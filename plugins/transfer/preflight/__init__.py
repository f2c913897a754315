"""Is everything there that a run needs? Checked before anything is copied."""
