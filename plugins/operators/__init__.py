"""Airflow operators: they take parameters, call the engine, and return a small summary."""
