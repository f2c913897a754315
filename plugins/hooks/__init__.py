"""WHO: an Airflow connection becomes a configured client."""
