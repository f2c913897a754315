"""Which copies there are: the parameters, the DAG that all copies share, and the routes of a YAML file."""
