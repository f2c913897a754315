"""Hooks: turn Airflow connections into configured clients, and assemble the engine."""
