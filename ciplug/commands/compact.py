"""Fold the pending writes of the store into its branch. No fact is changed."""

from __future__ import annotations

import argparse

from ciplug import console
from ciplug.commands import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(args: argparse.Namespace) -> int:
    folded = options.session_of(args).store.compact()
    console.say(f"folded {folded} pending writes" if folded else "nothing to fold")
    return 0
