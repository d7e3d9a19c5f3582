"""The JSON Schema of ciplug.yaml, with what the dataclasses say of each key for an editor to show."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from functools import cache
from typing import Any

from ciplug.config.kinds import Define, Schema, is_required, keys_of
from ciplug.config.settings import Config

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> Schema:
    """Return the schema of the whole file."""
    definitions: dict[str, Schema] = {}

    def define(table: type) -> Schema:
        if table.__name__ not in definitions:
            definitions[table.__name__] = _table(table, define)
        return {"$ref": f"#/$defs/{table.__name__}"}

    top = _table(Config, define)
    return {"$schema": _DIALECT, "title": "ciplug.yaml", **top, "$defs": dict(sorted(definitions.items()))}


def _table(table: type, define: Define) -> Schema:
    keys, texts = keys_of(table), _docstrings(table)
    missing = [name for name, key in keys.items() if is_required(key)]
    return {
        "type": "object",
        "description": " ".join((table.__doc__ or "").split()),
        "additionalProperties": False,
        **({"required": missing} if missing else {}),
        "properties": {name: _property(key, texts.get(name), define) for name, key in keys.items()},
    }


def _property(key: dataclasses.Field[Any], text: str | None, define: Define) -> Schema:
    form = key.metadata["kind"].schema(define)
    if key.metadata["nullable"] and not is_required(key):
        forms = form["anyOf"] if form.keys() == {"anyOf"} else [form]
        form = {"anyOf": [*forms, {"type": "null"}]}
    if isinstance(key.default, (str, int, float)):
        form["default"] = key.default
    return {**form, **({"description": text} if text else {})}


def _docstrings(table: type) -> dict[str, str]:
    """Key → the string below its field, in the dataclass, in those that it extends, and in what is inline in it."""
    texts: dict[str, str] = {}
    for one in reversed(table.__mro__):
        if dataclasses.is_dataclass(one):
            texts |= _in_module(one.__module__).get(one.__name__, {})
    for field in dataclasses.fields(table):
        if "inline" in field.metadata:
            texts |= _docstrings(field.metadata["inline"])
    return texts


@cache
def _in_module(name: str) -> dict[str, dict[str, str]]:
    """Class → attribute → the string below it."""
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {node.name: _below_attributes(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below_attributes(node: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: " ".join(str(below.value.value).split())
        for field, below in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }
