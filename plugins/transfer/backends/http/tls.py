"""Finds the bundle of trusted certificate authorities."""

from __future__ import annotations

import ssl

import certifi


def ca_bundle() -> str:
    """The path of the CA bundle for libcurl's `CAINFO`: `SSL_CERT_FILE`, else the system's, else certifi's.

    pycurl's wheels contain the path of the Linux distribution that they were built on. Where that path does not exist, every
    certificate would be refused.
    """
    return ssl.get_default_verify_paths().cafile or certifi.where()
