"""Unusual keys that firewalls often block, requested before a run. None of them exists, so no object is read.

AWS WAF's managed rule groups ("Baseline rule groups", "Use-case specific rule groups") look for extensions such as `.log`,
for markup and for SQL in the path of a URL. Object keys contain all of these, and CloudFront's flat-rate plans come with a
web ACL.
"""

from __future__ import annotations

from collections.abc import Callable

from transfer.errors import EdgeBlocked
from transfer.preflight.edge_answers import EdgeAnswer

ODD_ENDINGS = (".log", "-<script>alert(1)</script>", "-' union select 1 --")


def odd_keys_problem(ask: Callable[[str], EdgeAnswer], name: str) -> str:
    """The problem with unusual keys at the edge; empty when it lets them through. `name` is a key that nothing has."""
    blocked = []
    meaning = ""
    for ending in ODD_ENDINGS:
        answer = ask(f"{name}{ending}")
        rule = answer.rule
        if answer.is_error_page:
            return f"it answers a request for a missing object with HTTP {answer.status}: {answer.meaning}"
        if rule is not None and rule.error is EdgeBlocked:
            blocked.append(repr(ending))
            meaning = answer.meaning
    if not blocked:
        return ""
    return f"not names with {', '.join(blocked)}: {meaning}; until then such objects fail as EdgeBlocked"
