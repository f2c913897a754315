"""Airflow operators: parameters in, the engine called, a small summary out."""
