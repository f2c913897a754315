"""Hooks: an Airflow connection becomes a configured client, and the parts of the engine are put together."""
