"""The DAGs of docs/your-own-dag.md, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "your-own-dag.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
DAG_IDS = ("nightly_photos", "export_and_copy", "two_copies")
"""Those of the blocks, in their order."""


def write_blocks(folder: Path, *dag_ids: str, buckets: Mapping[str, str]) -> None:
    """Write the blocks of these DAGs (of all, if none is given) into DAG files.

    `buckets` are the names to use instead of `my-source-bucket` and `my-destination-bucket`.
    """
    for dag_id, block in zip(DAG_IDS, BLOCKS, strict=True):
        if dag_ids and dag_id not in dag_ids:
            continue
        for written, meant in buckets.items():
            block = block.replace(written, meant)
        (folder / f"{dag_id}.py").write_text(block)
