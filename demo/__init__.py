"""`make demo` and `make up`: the pipeline on a real Airflow and the local cloud, and an independent check of the copies."""
