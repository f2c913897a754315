"""Settings of the connection are long enough for Airflow, which takes each for a secret."""

from __future__ import annotations

from airflow.sdk._shared.secrets_masker.secrets_masker import SecretsMasker
from airflow.sdk.log import mask_secret

from hooks.provider import get_provider_info


def test_a_short_setting_is_not_taken_for_a_secret(monkeypatch, caplog) -> None:
    """Airflow warns of secrets that are too short to mask, in the log of every worker."""
    monkeypatch.setattr(SecretsMasker, "_has_warned_short_secret", False)
    schemas = [field["schema"] for field in get_provider_info()["connection-types"][0]["conn-fields"].values()]
    texts = [text for schema in schemas for text in schema.get("enum", ())]
    assert {"signed", "SHA-1"} <= set(texts)
    for text in texts:
        mask_secret({"field": text})
    assert "too short" not in caplog.text
