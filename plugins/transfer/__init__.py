"""The engine: lists, moves and proves objects. Plain Python that knows nothing of Airflow; thread-safe where it says so.

The rooms of the core import the standard library only; `transfer.backends` alone imports pycurl, boto3 and google-cloud.
"""
