"""The engine beside its peers on the same servers: `python -m benchmarks --help`, results in docs/benchmarks.md."""

import sys
from pathlib import Path

# The engine is no installed package: `python -m benchmarks` finds it without PYTHONPATH, too.
sys.path.append(str(Path(__file__).resolve().parent.parent / "plugins"))
