"""A CloudFront distribution on loopback, in front of one S3 bucket."""

from localcloud.edge.server import EdgeServer

__all__ = ["EdgeServer"]
