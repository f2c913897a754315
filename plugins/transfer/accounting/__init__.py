"""How far a task has come, and how fast it may go."""
