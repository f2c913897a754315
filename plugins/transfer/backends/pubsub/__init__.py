"""Pub/Sub: the two topics, and what its refusals mean."""
