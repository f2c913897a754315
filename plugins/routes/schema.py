"""The schema of an entry in the routes file, and a sentence for each violation of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from operators.parameters import did_you_mean
from routes.form import MEANING, PARAMS
from routes.notifications import QUEUE, QUEUE_MEANING
from transfer.limits import MAX_ACTIVE_RUNS

PARAM_OF = {
    ("source", "bucket"): "source_bucket",
    ("source", "prefix"): "source_prefix",
    ("source", "listing"): "source_listing",
    ("source", "connection"): "aws_conn_id",
    ("edge", "connection"): "cloudfront_conn_id",
    ("destination", "bucket"): "destination_bucket",
    ("destination", "prefix"): "destination_prefix",
    ("destination", "connection"): "gcp_conn_id",
    ("destination", "project"): "gcp_project",
}
"""The parameter of the form that each field sets; the rules for its value are written there, once."""

OF_ONE_RUN = ("only_failed", "plan_run", "mode")
"""Parameters that can only be chosen for a single run."""

OF_THE_FORM = ("section", "values_display", "title", "expected", "if", "then", "else", "strict")
"""Keywords of a parameter's schema that only the form uses."""

NAME = r"^[a-z0-9][a-z0-9_\-]{0,99}$"
QUEUE_OF_AIRFLOW = r"^[^\s,]{1,256}$"
DATE = r"^\d{4}-\d{2}-\d{2}$"
MEANINGS = {
    **MEANING,
    NAME: "a route's name: 1 to 100 lower-case letters, digits, hyphens and underscores, a letter or digit first",
    DATE: "a date, as in 2026-01-31",
    QUEUE: QUEUE_MEANING,
    QUEUE_OF_AIRFLOW: "the name of an Airflow queue: 1 to 256 characters, without commas and spaces",
}
KINDS = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping (field: value)",
    "array": "a list",
    "null": "an empty value",
}
TEXT = {"type": "string", "minLength": 1, "maxLength": 500}


def _of_form(name: str) -> dict[str, Any]:
    """The form's rules for a field, without those for the form alone; null is allowed only where it is the default."""
    param = PARAMS[name]
    rules = {word: rule for word, rule in param.schema.items() if word not in OF_THE_FORM}
    rules |= param.schema.get("strict", {})  # the pattern of `routes.form.text`
    kinds = [kind for kind in rules["type"] if kind != "null" or param.value is None]
    return rules | {"type": kinds if len(kinds) > 1 else kinds[0]}


def _mapping(properties: Mapping[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _fields(of: str) -> dict[str, Any]:
    return {field: _of_form(name) for (group, field), name in PARAM_OF.items() if group == of}


RUN_ON = _mapping(
    {
        # Airflow's database has room for so many characters of a pool and of an executor.
        "queue": {"type": "string", "pattern": QUEUE_OF_AIRFLOW},
        "pool": {"type": "string", "minLength": 1, "maxLength": 256},
        "pool_slots": {"type": "integer", "minimum": 1, "maximum": 10_000},
        "executor": {"type": "string", "minLength": 1, "maxLength": 1000},
    }
)
"""Where the tasks that list, copy and compare run."""

ROUTE = _mapping(
    {
        "name": {"type": "string", "pattern": NAME},
        "description": TEXT,
        "owner": TEXT,
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 100}, "uniqueItems": True},
        "source": _mapping(_fields("source"), required=("bucket",)),
        "edge": _mapping(_fields("edge"), required=("connection",)),
        "destination": _mapping(_fields("destination"), required=("bucket",)),
        "schedule": _mapping(
            {
                "cron": {"type": "string", "minLength": 1},
                "timezone": {"type": "string", "minLength": 1},
                "start": {"type": "string", "pattern": DATE},
                "catchup": {"type": "boolean"},
                "sqs": {"type": "string", "pattern": QUEUE},
                "connection": _of_form("aws_conn_id"),
            },
        )
        | {"type": ["null", "object"], "anyOf": [{"type": "null"}, {"required": ["cron"]}, {"required": ["sqs"]}]},
        "run_on": RUN_ON,
        "max_active_runs": {"type": "integer", "minimum": MAX_ACTIVE_RUNS.low, "maximum": MAX_ACTIVE_RUNS.high},
        "parameters": _mapping(
            {name: _of_form(name) for name in PARAMS if name not in {*PARAM_OF.values(), *OF_ONE_RUN}}
        ),
    },
    required=("name", "source", "edge", "destination"),
)

Path = tuple[str | int, ...]


def schema_problems(entry: Any, schema: Mapping[str, Any] = ROUTE) -> Iterator[tuple[Path, str]]:
    """All violations of the schema: where in the entry, and a sentence on what to change."""
    for error in Draft202012Validator(schema).iter_errors(entry):
        path: Path = tuple(error.absolute_path)
        value: Any = error.instance
        wanted: Any = error.validator_value
        if error.validator == "additionalProperties":
            known = list(_schema_of(error)["properties"])
            for unknown in [name for name in value if name not in known]:
                yield (*path, unknown), _unknown(str(unknown), known)
        elif error.validator == "required":
            missing = next(name for name in wanted if f"'{name}'" in error.message)
            yield (*path, missing), "it is missing: add it"
        else:
            yield path, _sentence(error)


def _schema_of(error: ValidationError) -> Any:
    return error.schema


def _unknown(name: str, known: list[str]) -> str:
    return f"there is no such field; {did_you_mean(name, known)}"


def _sentence(error: ValidationError) -> str:
    value: Any = error.instance
    wanted: Any = error.validator_value
    schema = _schema_of(error)
    match error.validator:
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else list(wanted)
            quotes = ", in quotes" if "string" in kinds and isinstance(value, bool | int | float) else ""
            return f"{_shown(value)} is not valid here: choose {_either([KINDS[kind] for kind in kinds])}{quotes}"
        case "enum":
            return f"{_shown(value)} is not one of the choices: choose {_either(list(wanted))}"
        case "pattern":
            return f"{_shown(value)} is not valid here: choose {MEANINGS[wanted]}"
        case "minimum" | "maximum":
            low, high = schema.get("minimum"), schema.get("maximum")
            choice = f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
            return f"{_shown(value)} is out of range: choose {choice}"
        case "minLength":
            return "it is empty: give it a value, or remove the field"
        case "maxLength":
            return f"it has {len(value):,} characters: choose {wanted:,} at most"
        case "anyOf":
            return "it has neither cron nor sqs: add one or both, or remove it"
        case "uniqueItems":
            return "it contains the same value twice: remove one"
    return error.message


def _shown(value: Any) -> str:
    if value is None:
        return "an empty value"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
