"""What a reader must know about a run, a baseline, the history, the policy or the store, as a kind with its facts.

Decisions are made from kinds and facts (`notice_facts`). Sentence and remedy are rendered from them, in
`notice_clauses` and `notice_remedies` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ciplug.records import notice_remedies, notice_text
from ciplug.records.notice_facts import MISNAMED, UNSEEN, Facts, Hindrance, Kind, Resumed, Subject

__all__ = ["MISNAMED", "UNSEEN", "Hindrance", "Kind", "Notice", "Resumed", "Subject"]


@dataclass(frozen=True, kw_only=True)
class Notice(Facts):
    """One state that a reader must know, with its words."""

    DERIVED: ClassVar[tuple[str, ...]] = ("message", "remedy")

    @property
    def clause(self) -> str:
        """The state in words, to be a part of a sentence."""
        return notice_text.clause(self)

    @property
    def message(self) -> str:
        """The state as a sentence."""
        text = self.clause
        # The name of a file stays as it is.
        first = text[:1] if self.files and text.startswith(self.files[0]) else text[:1].upper()
        return f"{first}{text[1:]}" + ("" if text.endswith((".", "?")) else ".")

    @property
    def ended(self) -> str:
        """How a run ended that did not finish: "the run of seed 3 failed (exit code 1)"."""
        return notice_text.ended(self)

    @property
    def remedy(self) -> str | None:
        """What to do about it, as a clause; None where there is nothing to do."""
        return notice_remedies.remedy(self)

    @property
    def line(self) -> str:
        """The sentence, and what to do."""
        return f"{self.message} → {self.remedy}" if self.remedy else self.message
