"""What a test needs that a machine may lack: the test is skipped with the reason, and fails where CI is set.

`tests/run-all` counts and lists the skipped tests at its end.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def program(*names: str, is_optional: bool = False, hint: str = "") -> str:
    """The path of the first of these programs that is installed; see `missing` for a machine that has none of them."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    places += map(str, Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian has PostgreSQL's servers
    for name in names:
        if found := shutil.which(name, path=os.pathsep.join(places)):
            return found
    return missing(f"{' or '.join(names)} is not installed" + (f": {hint}" if hint else ""), is_optional=is_optional)


def missing(reason: str, *, is_optional: bool = False) -> NoReturn:
    """Skip the running test, or fail it in CI, unless `is_optional`: CI may then lack it too."""
    if os.environ.get("CI") and not is_optional:
        pytest.fail(f"{reason}; CI=true allows no such skip", pytrace=False)
    pytest.skip(reason)
