"""The kinds of attacks, and how many cases of each the tests have: the table of CONTRIBUTING.md.

python -m tests.attacks.kinds     writes the table
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- attacks: written by tests/attacks/kinds.py -->\n", "<!-- end of attacks -->"
_HERE, _CLAIMS = "tests/attacks/test_", "tests/attacks/test_many_claims.py::test_"
_EXPORT = "tests/integration/test_export_faults.py::test_"
KINDS: dict[str, tuple[str, ...]] = {
    "a ref beside the branch overrides the registry": (f"{_HERE}registry_override.py", f"{_CLAIMS}events"),
    "runs of forks evict genuine ones": (f"{_HERE}eviction.py", f"{_CLAIMS}no_run_of_a_fork_evicts"),
    "a run is lost, or stuck in the spool": (f"{_HERE}stuck_spool.py", f"{_HERE}killed_trainings.py"),
    "runs of others on my commit": (f"{_HERE}runs_of_others.py", f"{_CLAIMS}no_run_of_a_fork_changes"),
    "records that cannot be read": (f"{_HERE}damaged_records.py", f"{_HERE}fuzz.py::test_a_reader"),
    "a pending write is replaced": (f"{_HERE}inbox.py", f"{_CLAIMS}no_name_of_a_pending_write"),
    "a claim makes a run count": (f"{_HERE}claims.py", f"{_CLAIMS}no_time"),
    "the registry or a signed run is changed": (
        *(f"{_HERE}{name}.py" for name in ("rewritten_registry", "tampered_registry", "signed", "signed_moves")),
        *(
            f"{_HERE}signers_out_of_reach.py",
            f"{_HERE}signed_later.py",
            f"{_HERE}signed_bundles.py",
            f"{_HERE}fuzz.py::test_a_clone",
        ),
    ),
    "a token goes to another host": (
        *(f"{_HERE}tokens.py", f"{_HERE}places_in_records.py", "tests/unit/test_smoke_address.py"),
        f"{_EXPORT}the_server_does_not_choose",
    ),
    "secrets are kept in records": (
        *(f"{_HERE}secrets_in_records.py", "tests/unit/test_masking.py::test_no_secret"),
        "tests/unit/test_masking.py::test_forms",
    ),
    "a client's word allows a promotion": (f"{_HERE}claims_of_a_client.py",),
    "a ref stands in the way": (f"{_HERE}refs_in_the_way.py",),
    "another name escapes the gates": (
        *(f"{_HERE}other_names.py", f"{_HERE}names_that_look_alike.py"),
        "tests/unit/test_lookalikes.py::test_other_letters",
    ),
    "text of strangers commands a CI host": (f"{_HERE}hostile_words.py",),
    "inputs take minutes or gigabytes": (
        *(f"{_HERE}fuzzed_readers.py", f"{_HERE}gigabytes_in_the_inbox.py", "tests/integration/test_ask.py"),
        *(f"{_EXPORT}answers_are_bounded", f"{_EXPORT}an_answer_that_drips"),
    ),
    "a training writes with the rights of its job": (
        *("tests/integration/test_two_jobs.py", "tests/unit/test_install.py"),
        f"{_EXPORT}tags_of_a_training",
    ),
}
"""Kind → the beginnings of the ids of its tests."""


def counts() -> dict[str, int]:
    """Kind → its cases, as pytest collects them."""
    files = sorted({one.partition("::")[0] for ids in KINDS.values() for one in ids})
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-o", "addopts=", "--collect-only", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    return {kind: sum(one.startswith(starts) for one in ids) for kind, starts in KINDS.items()}


def table(found: dict[str, int]) -> str:
    rows = [f"| {kind} | {count} |" for kind, count in found.items()]
    return "\n".join(["| attack | cases |", "|:---|---:|", *rows, f"| **all** | **{sum(found.values())}** |", ""])


def written(page: str) -> str:
    """The table as a page has it."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)]


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    begin, end = before.index(BEGIN) + len(BEGIN), before.index(END)
    PAGE.write_text(before[:begin] + table(counts()) + before[end:], encoding="utf-8")
