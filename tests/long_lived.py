"""A process that lives long: it opens one session, and answers each line on stdin with what it sees, as JSON.

`refresh` makes it ask for a fresh session first; `look` does not.
"""

from __future__ import annotations

import json
import sys

from ciplug.registry.reading import read_model
from ciplug.steps.branches import commits_around
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session, open_session


def seen(session: Session) -> dict[str, object]:
    around = commits_around(session, session.need_head(), None)
    runs = session.runs()
    return {
        "head": session.head,
        "runs": sorted(key.id for key in runs.recorded()),
        "catalog": runs.catalog.find(""),
        "stages": {str(v.number): v.stage for v in read_model(session.log, "wine").versions},
        "policy": read_policies(session).of("wine").digest,
        "commits": len(around.target_commits),
    }


def main() -> None:
    session = open_session()
    for line in sys.stdin:
        if line.strip() == "refresh":
            session = session.refreshed()
        print(json.dumps(seen(session)), flush=True)


if __name__ == "__main__":
    main()
