"""Greet somebody: a command that a stranger adds by the recipe of CONTRIBUTING.md."""

from __future__ import annotations

import argparse

from ciplug import console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", metavar="NAME", default="world", help="whom to greet (default: world)")


def run(args: argparse.Namespace) -> int:
    console.out(f"hello {args.to}")
    return 0
