"""JSON Schema as `response_format` takes it: what strict mode refuses, and values that fit a schema."""

from typing import Any

Json = dict[str, Any]
_MAX_DEPTH = 20
_FILLER = "Not specified."


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


def _resolve(schema: Json, root: Json) -> Json:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            target = target.get(part, {}) if isinstance(target, dict) else {}
    return target if isinstance(target, dict) else {}


def _type(schema: Json) -> str:
    declared = schema.get("type")
    if isinstance(declared, list):
        return str(next((name for name in declared if name != "null"), "null"))
    if isinstance(declared, str):
        return declared
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _text(schema: Json, candidate: Any) -> str:
    text = candidate if isinstance(candidate, str) and candidate else _FILLER
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _number(schema: Json, candidate: Any) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", max(low, 1))
    is_number = isinstance(candidate, int | float) and not isinstance(candidate, bool)
    return float(candidate) if is_number and low <= candidate <= high else float(low)


def _array(schema: Json, candidate: Any, root: Json, depth: int) -> list[Any]:
    items = list(candidate) if isinstance(candidate, list) else []
    least = int(schema.get("minItems", 0))
    items += [None] * (least - len(items))
    items = items[: schema["maxItems"]] if "maxItems" in schema else items
    return [fit(schema.get("items") or {}, item, root, depth + 1) for item in items]


def _object(schema: Json, candidate: Any, root: Json, depth: int) -> Json:
    given = candidate if isinstance(candidate, dict) else {}
    properties: Json = schema.get("properties") or {}
    return {name: fit(inner, given.get(name), root, depth + 1) for name, inner in properties.items()}


def _scalar(kind: str, schema: Json, candidate: Any) -> Any:
    match kind:
        case "string":
            return _text(schema, candidate)
        case "integer":
            return int(_number(schema, candidate))
        case "number":
            return _number(schema, candidate)
        case "boolean":
            return candidate if isinstance(candidate, bool) else False
        case _:
            return None


def _chosen(schema: Json, candidate: Any) -> Any:
    allowed = schema["enum"] if "enum" in schema else [schema["const"]]
    return candidate if candidate in allowed else allowed[0]


def fit(schema: Json, candidate: Any, root: Json | None = None, depth: int = 0) -> Any:
    """Return a value that is valid to `schema`, and is `candidate` as far as that fits.

    Knows the keywords of strict mode. A recursive schema ends at its 20th level with null.
    """
    root = root if root is not None else schema
    schema = _resolve(schema, root)
    if depth > _MAX_DEPTH:
        return None
    if "const" in schema or "enum" in schema:
        return _chosen(schema, candidate)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        useful = [option for option in alternatives if _type(_resolve(option, root)) != "null"]
        return fit((useful or alternatives)[0], candidate, root, depth + 1)
    kind = _type(schema)
    if kind == "object":
        return _object(schema, candidate, root, depth)
    return _array(schema, candidate, root, depth) if kind == "array" else _scalar(kind, schema, candidate)
