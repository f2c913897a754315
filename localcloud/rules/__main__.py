"""`python -m localcloud.rules`: write the tables of docs/local-cloud.md."""

from __future__ import annotations

from localcloud.rules import PAGE, page_of, services

if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text(), services()))
