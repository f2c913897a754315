r"""The Resource of a custom policy, matched against a URL by CloudFront's rules.

From "Create a signed URL using a custom policy" in the CloudFront developer guide. A URL has four sections,
`protocol://domain/path\?query`, and a wildcard matches only inside its own: `*` any run of characters, `?` exactly one,
`\?` a literal question mark. A `*` that ends the path also stands for any query, one that ends the domain for any
path and query; without a protocol, any will do.
"""

from __future__ import annotations

from dataclasses import dataclass

ANY_RUN = "*"
ANY_ONE = "?"


@dataclass(frozen=True, slots=True)
class Sections:
    """A URL, or a pattern for one, in CloudFront's four sections."""

    protocol: str
    domain: str
    path: str
    query: str


def split_url(url: str) -> Sections:
    """The sections of a plain URL."""
    protocol, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    domain, _, path = address.partition("/")
    return Sections(protocol, domain, path, query)


def split_resource(resource: str) -> Sections:
    """The sections of a policy's Resource. Raises ValueError when it names no protocol and is no wildcard either."""
    if "://" in resource:
        protocol, _, rest = resource.partition("://")
    elif resource.startswith(ANY_RUN):
        protocol, rest = ANY_RUN, resource
    else:
        raise ValueError(f"resource {resource!r} begins with neither a protocol nor *")
    domain, slash, address = rest.partition("/")
    if not slash and domain.endswith(ANY_RUN):
        return Sections(protocol, domain, ANY_RUN, ANY_RUN)
    path, marker, query = address.partition(r"\?")
    if not marker and path.endswith(ANY_RUN):
        query = ANY_RUN
    return Sections(protocol, domain, path, query)


def resource_allows(resource: str, url: str) -> bool:
    """Whether the Resource of a policy covers the URL. Raises ValueError for a malformed resource.

    The guide leaves one thing open: a plain `?` is a wildcard in one passage and begins the query in another, so either
    reading will do.
    """
    wanted, pattern = split_url(url), split_resource(resource)
    if _all_match(pattern, wanted):
        return True
    path, marker, query = pattern.path.partition(ANY_ONE)
    if not marker or path.endswith("\\"):
        return False
    return _all_match(Sections(pattern.protocol, pattern.domain, path, query), wanted)


def _all_match(pattern: Sections, url: Sections) -> bool:
    return (
        matches(pattern.protocol, url.protocol)
        and matches(pattern.domain, url.domain)
        and matches(pattern.path, url.path)
        and matches(pattern.query, url.query)
    )


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of one section covers the whole text, in at most len(pattern) × len(text) steps.

    Only the last `*` is ever reconsidered: whatever an earlier one could take, the later one can take as well.
    """
    tokens = _tokens(pattern)
    at = position = 0
    run_at, run_position = -1, 0
    while position < len(text):
        if at < len(tokens) and tokens[at] == (ANY_RUN, True):
            run_at, run_position = at, position
            at += 1
        elif at < len(tokens) and tokens[at] in ((ANY_ONE, True), (text[position], False)):
            at += 1
            position += 1
        elif run_at >= 0:
            run_position += 1
            at, position = run_at + 1, run_position
        else:
            return False
    return all(token == (ANY_RUN, True) for token in tokens[at:])


def _tokens(pattern: str) -> list[tuple[str, bool]]:
    """The pattern's characters, each with whether it is a wildcard."""
    tokens = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            tokens.append((next(characters, "\\"), False))
        else:
            tokens.append((character, character in (ANY_RUN, ANY_ONE)))
    return tokens
