"""What a run would copy, and what it would cost."""
