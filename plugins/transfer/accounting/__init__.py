"""The progress of a task, and the pace at which it may work."""
