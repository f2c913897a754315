"""Where the trusted certificate authorities are."""

from __future__ import annotations

import ssl

import certifi


def ca_bundle() -> str:
    """Path of the CA bundle for libcurl's `CAINFO`: `SSL_CERT_FILE`, else the system's, else certifi's.

    pycurl's wheels carry the path of the Linux distribution they were built on; where it does not exist, every
    certificate would be refused.
    """
    return ssl.get_default_verify_paths().cafile or certifi.where()
