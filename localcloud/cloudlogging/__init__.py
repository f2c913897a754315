"""A Cloud Logging that runs on loopback: entries written and listed over gRPC and the JSON API, kept as JSON lines."""

from localcloud.cloudlogging.server import LoggingServer

__all__ = ["LoggingServer"]
