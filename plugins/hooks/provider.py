"""Registers the connection type `cloudfront` with Airflow, whose connection form (3.3) reads provider info only.

Airflow finds it through the entry point in `plugins/edgehaul.dist-info`; PYTHONPATH=plugins is the whole installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.limits import URL_LIFETIME_S

LABELS: Mapping[str, str] = {
    "host": "Distribution domain",
    "schema": "Scheme",
    "port": "Port",
    "login": "Key pair ID",
    "password": "Private key (PEM)",
    "signing": "Signing",
    "hash_algorithm": "Hash algorithm",
    "url_lifetime_s": "URL lifetime (seconds)",
}
"""The fields of the connection as the form calls them, and every message about one."""


def get_provider_info() -> dict[str, Any]:
    """Airflow's description of this package; see `provider_info.schema.json` in Airflow."""
    return {
        "package-name": "edgehaul",
        "name": "Edgehaul",
        "description": "Copies S3 buckets to Google Cloud Storage through a CloudFront distribution.",
        "connection-types": [
            {
                "connection-type": "cloudfront",
                "hook-class-name": "hooks.cloudfront.CloudfrontHook",
                "hook-name": "Amazon CloudFront distribution",
                "ui-field-behaviour": {
                    "hidden-fields": ["extra"],
                    "relabeling": {name: LABELS[name] for name in ("host", "schema", "login", "password")},
                    "placeholders": {
                        "host": "d111111abcdef8.cloudfront.net",
                        "schema": "https",
                        "port": "443",
                        "login": "K2JCJMDEHXQW5F",
                        "password": "-----BEGIN PRIVATE KEY----- …",
                    },
                },
                "conn-fields": {
                    "signing": {
                        "label": LABELS["signing"],
                        "description": "“signed” for a distribution that trusts a key group; “public” for one that "
                        "anyone may read, which needs neither key pair ID nor private key.",
                        "schema": {"type": "string", "enum": ["signed", "public"], "default": "signed"},
                    },
                    "hash_algorithm": {
                        "label": LABELS["hash_algorithm"],
                        "description": "The hash algorithm of the signature. CloudFront accepts both.",
                        # Airflow takes every text of a connection for a secret, and warns in the logs of those below five
                        # characters, such as SHA1, which is accepted as well.
                        "schema": {"type": "string", "enum": ["SHA-1", "SHA-256"], "default": "SHA-1"},
                    },
                    "url_lifetime_s": {
                        "label": LABELS["url_lifetime_s"],
                        "description": "How long one signature is valid. It is renewed at half of this, so it need "
                        "not cover a run; it must exceed the longest wait before a retry.",
                        "schema": {
                            "type": "integer",
                            "minimum": URL_LIFETIME_S.low,
                            "maximum": URL_LIFETIME_S.high,
                            "default": URL_LIFETIME_S.default,
                        },
                    },
                },
            }
        ],
    }
