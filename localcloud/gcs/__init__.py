"""A stand-in for Cloud Storage: the JSON and XML APIs over content files and an SQLite index."""

from localcloud.gcs.server import GcsServer

__all__ = ["GcsServer"]
