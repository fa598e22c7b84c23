"""JSON Schema as `response_format` takes it: what strict mode refuses, and values that fit a schema."""

from typing import Any

Json = dict[str, Any]
_FILLERS: dict[Any, Any] = {"string": "Not specified.", "integer": 0, "number": 0, "boolean": False}


class SchemaRefusedError(Exception):
    """A schema that OpenAI's strict mode refuses, with the reason as OpenAI words it."""


def check_strict(schema: Any, path: str = "()") -> None:
    """Raise SchemaRefusedError for an object without `additionalProperties: false` or with optional keys.

    Source: OpenAI's guide to structured outputs, "supported schemas".
    """
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            raise SchemaRefusedError(
                f"In context={path}, 'additionalProperties' is required to be supplied and to be false."
            )
        missing = sorted(set(properties or {}) - set(schema.get("required") or []))
        if missing:
            raise SchemaRefusedError(
                f"In context={path}, 'required' is required to be supplied and to be an array including "
                f"every key in properties. Missing '{missing[0]}'."
            )
    for group in ("properties", "$defs", "definitions"):
        for name, inner in (schema.get(group) or {}).items():
            check_strict(inner, f"('{group}', '{name}')")
    check_strict(schema.get("items"), "('items',)")
    for alternative in schema.get("anyOf") or []:
        check_strict(alternative, "('anyOf',)")


def fit(schema: Json, candidate: Any, root: Json) -> Any:
    """Return what of `candidate` the schema has a place for, and fillers for what it lacks.

    Knows objects, arrays, plain types, and references to the `$defs` of `root`.
    """
    reference = schema.get("$ref")
    if reference is not None:
        schema = root["$defs"][reference.rpartition("/")[2]]
    match schema.get("type"):
        case "object":
            given = candidate or {}
            return {name: fit(inner, given.get(name), root) for name, inner in schema["properties"].items()}
        case "array":
            return [fit(schema["items"], item, root) for item in candidate or []]
        case "string" if isinstance(candidate, dict):
            # A client that wants one text gets what a claim says.
            return fit(schema, candidate.get("text"), root)
        case kind if candidate is None:
            return schema["enum"][0] if "enum" in schema else _FILLERS.get(kind)
        case _:
            return candidate
