"""The names of the documents on a version."""

from __future__ import annotations

PROVENANCE, VERDICT = "provenance.intoto.json", "verdict.intoto.json"
STATEMENTS = (PROVENANCE, VERDICT)
BOM, CARD, SUBJECTS = "bom.cdx.json", "README.md", "subjects.sha256"
