"""What every test shares: an Airflow home of its own, and the local cloud's servers on loopback."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import settings

# Before the first import of airflow anywhere.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="edgehaul-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "False")

# An example's own deadline (200 ms) measures how busy the machine is.
settings.register_profile("edgehaul", deadline=None)
settings.load_profile("edgehaul")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what takes minutes (marked slow)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: --slow runs it"))
