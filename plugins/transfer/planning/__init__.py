"""Plans a run: what it would copy, and what that would cost."""
