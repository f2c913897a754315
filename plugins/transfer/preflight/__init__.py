"""Preflight: checks everything that a run needs before anything is copied."""
