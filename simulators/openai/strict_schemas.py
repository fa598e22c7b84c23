"""JSON Schema in `response_format`: strict mode's refusals, and values that fit a schema."""

from typing import Any

Json = dict[str, Any]
_FILLERS: dict[Any, Any] = {"string": "Not specified.", "integer": 0, "number": 0, "boolean": False}


class SchemaRefusedError(Exception):
    """A schema refused by OpenAI's strict mode, with the reason in OpenAI's words."""


def check_strict(schema: Any, path: str = "()") -> None:
    """Raise SchemaRefusedError for an object with optional keys or open properties.

    Open: without `additionalProperties: false`. Source: OpenAI's guide to structured outputs, "supported schemas".
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
    """Return the parts of `candidate` that fit the schema, with fillers for missing ones.

    Supports objects, arrays, plain types, and references to the `$defs` of `root`.
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
            # A schema with plain texts gets the claim's text.
            return fit(schema, candidate.get("text"), root)
        case kind if candidate is None:
            return schema["enum"][0] if "enum" in schema else _FILLERS.get(kind)
        case _:
            return candidate
