"""Fold the pending writes of the store into its branch. No fact is changed."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options
from ciplug.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(args: argparse.Namespace) -> int:
    session = options.session_of(args)
    if not session.context.trusted:
        raise UsageError("a fork's job must not write the store", hint="compact in a trusted branch's pipeline")
    folded = session.store.compact()
    folded += session.files.compact() if session.files else 0
    console.say(f"folded {folded} pending writes" if folded else "nothing to fold")
    return 0
