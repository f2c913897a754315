"""What every test shares: an Airflow home of its own, and the local cloud's servers on loopback."""

from __future__ import annotations

import os
import tempfile

# Before the first import of airflow anywhere.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="edgehaul-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "False")
