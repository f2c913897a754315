"""Serves the pages inside Airflow's API server, from its metadata database and from the records of a run."""
