"""A log that a newer ciplug has written to: every reader goes on and says what it skipped; a transition refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import PromotionRefused, Refusal
from ciplug.records.keys import log_of
from ciplug.registry import ledger
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.session import open_session
from tests.project import CONFIG, Project

pytestmark = pytest.mark.slow

LOG = log_of("wine")
FREEZE = "event 3 of 'wine' has type 'freeze', which this ciplug does not know: upgrade ciplug"
NEWER = "event 3 of 'wine' was written by a newer ciplug (schema 2) and is skipped: upgrade ciplug"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Version 1 is in staging."""
    made = Project.with_remote(tmp_path, config=CONFIG + "artifacts: model.txt\n")
    made.train()
    made.ciplug("gate")
    made.ciplug("promote", "wine", "--to", "staging")
    return made


def write(project: Project, **changes: Any) -> None:
    """Append an event to the log in the git store, as a newer ciplug would."""
    log = open_session(cwd=project.folder).log
    head = log.head(LOG)
    assert head is not None
    event = {
        **{"schema": 1, "seq": head.seq + 1, "previous": head.digest, "type": "freeze", "model": "wine"},
        **{"created": "2027-01-01T00:00:00.000Z", "payload": {"version": 1, "until": "2027-02-01"}},
        **changes,
    }
    log.append(LOG, head, json.dumps(event).encode())


@pytest.mark.parametrize(
    ("changes", "note"),
    [({}, FREEZE), ({"schema": 2, "type": "promote", "created": 7, "payload": "compressed"}, NEWER)],
    ids=["unknown type", "unknown schema"],
)
def test_every_reader_goes_on_and_says_what_it_skipped(
    project: Project, tmp_path: Path, changes: dict[str, Any], note: str
) -> None:
    write(project, **changes)
    shown = project.ciplug("registry", "show", "wine")
    assert "Staging" in shown.stdout and note in shown.stderr
    shown = project.ciplug("registry", "list")
    assert "v1" in shown.stdout and note in shown.stderr
    shown = project.ciplug("registry", "history", "wine")
    assert shown.stdout.count("\n") == 5 and note in shown.stderr
    (*_, last) = project.json("registry", "history", "wine", "--json")
    assert (last["type"], last["seq"]) == (changes.get("type", "freeze"), 3)
    assert note in project.ciplug("pull", "wine@staging", "--to", str(tmp_path / "to")).stderr
    assert (tmp_path / "to" / "model.txt").exists()
    notices = project.json("compare", "--format", "json")["comparisons"][0]["notices"]
    assert [(one["kind"], one["event"]) for one in notices if one["kind"] == "skipped_event"] == [("skipped_event", 3)]
    assert note.partition(":")[0].removeprefix("event") in project.ciplug("report").stdout
    assert note in project.ciplug("leaderboard", "--metric", "accuracy").stderr
    assert "PASS" in project.ciplug("gate").stdout
    checked = project.ciplug("fsck")
    assert note in checked.stderr and "no problem" in checked.stderr


def test_only_a_transition_refuses(project: Project) -> None:
    write(project)
    refused = project.ciplug("promote", "wine", "--to", "production", code=1)
    assert FREEZE in refused.stderr and "upgrade ciplug, and run this command again" in refused.stderr
    with pytest.raises(PromotionRefused) as caught:
        promote(open_session(cwd=project.folder), PromotionRequest("wine", "production", version=1))
    assert caught.value.reason is Refusal.UNKNOWN_EVENTS
    assert len(ledger.read(open_session(cwd=project.folder).log, "wine").events) == 3


def test_retention_drops_nothing_that_an_unknown_event_may_need(project: Project) -> None:
    write(project)
    (project.folder / "ciplug.yaml").write_text(CONFIG + "keep: {last: 1}\n")
    refused = project.ciplug("compact", code=2)
    assert "event 3 of 'wine' has type 'freeze'" in refused.stderr


def test_an_unknown_field_of_a_known_event_stops_nothing(project: Project) -> None:
    project.numbers({"accuracy": 0.87})
    project.commit("better")
    run = project.train()
    files = {file["path"]: file["digest"] for file in project.json("runs", "show", run, "--json")["artifacts"]}
    payload = {"version": 2, "run": run, "commit": project.head, "files": files, "quantized": {"bits": 8}}
    write(project, type="register", payload=payload, signature="abc")
    shown = project.ciplug("registry", "show", "wine")
    assert not shown.stderr
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging", "--version", "2")
    history = project.json("registry", "history", "wine", "--json")
    assert [event["type"] for event in history] == ["register", "promote", "register", "promote"]
    assert history[2]["payload"]["quantized"] == {"bits": 8}
    assert history[2]["signature"] == "abc", "it is shown as it is stored"


def test_a_broken_chain_stops_every_reader_of_the_registry(project: Project, tmp_path: Path) -> None:
    write(project, previous="sha256:" + "0" * 64)
    for command in (
        ("registry", "list"), ("registry", "show", "wine"), ("pull", "wine@staging", "--to", str(tmp_path / "to")),
        ("promote", "wine", "--to", "production"), ("fsck",),
    ):  # fmt: skip
        done = project.ciplug(*command, code=3)
        assert "is broken at event 3" in done.stdout + done.stderr
    # What does not depend on the registry goes on, and says it.
    assert "is broken at event 3" in project.ciplug("compare").stdout
