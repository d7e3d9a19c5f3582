"""The text of a first ciplug.yaml, with a comment that explains each gate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ciplug.gates.propose import Proposal

_SHOWN_MOST = 30


@dataclass(frozen=True, kw_only=True)
class Settings:
    model: str
    store: str | None
    """None: the default, this repository."""
    metrics: Sequence[str]
    params: Sequence[str]
    models: Sequence[str]
    """Files that the training wrote its model to in the first run."""
    model_files: Sequence[str]
    """Files that it seems to write its model to, by its code."""
    unread: Mapping[str, Sequence[str]]
    """`metrics` or `params` → why other files are not used."""
    numbers_of: str
    """The source of the numbers for the gates: `metrics.json`, `a run of python train.py`."""
    proposal: Proposal


def render(settings: Settings) -> str:
    """The whole file."""
    return "\n".join(_lines(settings)) + "\n"


def _lines(settings: Settings) -> Iterator[str]:
    yield "# Written by `ciplug init`. All keys are in ciplug's docs/configuration.md and docs/gates.md."
    yield "version: 1"
    yield f"model: {_text(settings.model)}"
    if settings.store:
        yield f"store: {_text(settings.store)}"
    for key, paths in (("metrics", settings.metrics), ("params", settings.params), ("artifacts", settings.models)):
        if paths:
            listed = ", ".join(map(_text, paths))
            yield f"{key}: {listed if len(paths) == 1 else f'[{listed}]'}"
        yield from (f"# Not used: {_comment(why)}" for why in settings.unread.get(key, ()))
    if not settings.models:
        yield "# Files that the training writes. A promotion needs one, and `ciplug pull` fetches them:"
        yield f"# artifacts: {', '.join(map(_text, settings.model_files)) or 'model.joblib'}"
    proposal = settings.proposal
    if proposal.gates:
        yield "gates:"
        yield f"  # Proposed from {_comment(settings.numbers_of)}. Set the bounds to what the users of the model need."
        for gate in proposal.gates:
            yield f"  # {_comment(gate.metric)}: {gate.why}."
            yield f"  {_text(gate.metric)}: {gate.text}"
    else:
        yield "# No gate yet, so nothing is judged: no metric has a name that shows which direction is better. A gate:"
        yield "# gates:"
        yield "#   accuracy: {higher_is_better: true, min: 0.85, max_regression: 0.01}"
    if proposal.left:
        yield "# Without a gate:"
        yield from (f"#   {_comment(f'{name}: {why}')}" for name, why in list(proposal.left.items())[:_SHOWN_MOST])
        if len(proposal.left) > _SHOWN_MOST:
            yield f"#   and {len(proposal.left) - _SHOWN_MOST} more"


def _text(text: str) -> str:
    """Text as a key or a value in YAML, plain where every reader takes it for the same text."""
    plain = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII)
    word = text.lower() in ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf")
    return text if plain and not word else json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
