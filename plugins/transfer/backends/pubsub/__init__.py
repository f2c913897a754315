"""Pub/Sub: publishes to and pulls from the two topics, and maps its refusals to the engine's errors."""
