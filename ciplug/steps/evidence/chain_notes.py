"""What a person should know of a chain that is whole all the same."""

from __future__ import annotations

from ciplug.console import Note, warning
from ciplug.registry.evidence_chain import Chain
from ciplug.registry.evidence_chain_text import remedy, words
from ciplug.reports.untrusted import clean


def notes_on(chain: Chain) -> list[Note]:
    """A warning for each finding that breaks no link."""
    return [warning(clean(words(one), 300), clean(remedy(one) or "", 400) or None) for one in chain.notes]
