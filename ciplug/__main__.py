"""`python -m ciplug`, and the console script."""

from __future__ import annotations

import sys


def main() -> None:
    from ciplug.cli import program

    sys.exit(program(sys.argv[1:]))


if __name__ == "__main__":
    main()
