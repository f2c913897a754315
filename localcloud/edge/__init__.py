"""A CloudFront distribution on loopback, in front of one S3 bucket."""

from localcloud.edge.server import EdgeServer
from localcloud.edge.settings import ErrorPage, Settings

__all__ = ["EdgeServer", "ErrorPage", "Settings"]
