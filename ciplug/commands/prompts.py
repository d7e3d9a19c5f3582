"""The few questions that a person at a terminal is asked."""

from __future__ import annotations

import sys

QUESTIONS_MOST = 3


class Asker:
    """Asks the person at the terminal at most three questions; after that, defaults apply."""

    def __init__(self, *, allowed: bool) -> None:
        self._left = QUESTIONS_MOST if allowed else 0

    @property
    def may(self) -> bool:
        return self._left > 0

    def ask(self, question: str, default: str) -> str:
        """The answer, or `default` for an empty one. Raises KeyboardInterrupt at the end of input."""
        self._left -= 1
        print(question, end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            print(file=sys.stderr)
            raise KeyboardInterrupt
        return line.strip() or default

    def agree(self, question: str) -> bool:
        return self.ask(f"{question} [y/N]", "n").lower() in ("y", "yes")
