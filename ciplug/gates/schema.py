"""The JSON Schema of ciplug.yaml, with what the models say of each key for an editor to show."""

from __future__ import annotations

import ast
import inspect
from typing import Any


def schema() -> dict[str, Any]:
    """The schema of the whole file."""
    from ciplug.gates import policy

    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **policy.File.model_json_schema(by_alias=True)}
    said = _docstrings(inspect.getsource(policy))
    for name, model in (("File", found), *found["$defs"].items()):
        # What a model has from another one is said there.
        for of in (name, *(base.__name__ for base in getattr(policy, name).__mro__[1:])):
            for key, text in said.get(of, {}).items():
                place = model.get("properties", {}).get(key.rstrip("_"))
                if place is not None:
                    place.setdefault("description", text)
    return found


def _docstrings(source: str) -> dict[str, dict[str, str]]:
    """Class → attribute → the string below it."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            pairs = zip(node.body, node.body[1:], strict=False)
            found[node.name] = {
                field.target.id: " ".join(str(below.value.value).split())
                for field, below in pairs
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            }
    return found
