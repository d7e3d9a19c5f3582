"""`ciplug verify`: the chain behind a version, each of its links tampered with, and what it costs."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ciplug.attestation.documents import PROVENANCE
from ciplug.errors import BrokenLog, NotFound, PromotionRefused, Refusal
from ciplug.records.canonical import plain
from ciplug.records.keys import log_of
from ciplug.records.registry_event import Promote, Register
from ciplug.records.registry_moves import MoveFreely, Rollback
from ciplug.registry import ledger
from ciplug.registry.events import payload_of, wrap
from ciplug.registry.evidence_chain import Chain, Fault, Link
from ciplug.registry.evidence_chain_text import remedy, words
from ciplug.steps.evidence.attest import BrokenChain, attest
from ciplug.steps.evidence.verify import Request, verify
from ciplug.steps.pull import pull, version_name
from tests.project import Project, git
from tests.team import STAMP, Team, team_in


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """A team with version 1 in staging."""
    team = team_in(tmp_path)
    team.judged()
    team.promote()
    return team


def chain_of(team: Team, name: str = "wine@staging", **request: Any) -> Chain:
    return verify(team.session.refreshed(), Request(name, fetch=True, **request))


def broken(team: Team, **request: Any) -> Fault | None:
    """The first fault; it has words, and a remedy."""
    finding = chain_of(team, **request).broken
    if finding is None:
        return None
    assert "?" not in words(finding) and remedy(finding)
    return finding.fault


def bytes_of(team: Team) -> Path:
    """The file of the store with the bytes of the model."""
    (found,) = (team.project.folder.parent / "store" / "files").rglob("ba7816bf8f01*")
    return found


def write_of(team: Team, kind: str) -> Path:
    """The write that holds the only object of this kind, as the store keeps it."""
    writes = (team.project.folder.parent / "store" / "inbox").iterdir()
    (found,) = [path for path in writes if f'"key":"{kind}/' in path.read_text()]
    return found


def change(team: Team, kind: str, old: str, new: str) -> None:
    """Write over an object behind ciplug's back."""
    path = write_of(team, kind)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def promoted(team: Team) -> Promote:
    payload = payload_of(ledger.read(team.session.refreshed().log, "wine").events[-1])
    assert isinstance(payload, Promote)
    return payload


def append(team: Team, payload: Any) -> None:
    log = team.session.refreshed().log
    ledger.append(log, ledger.read(log, "wine"), wrap(payload, model="wine", created=STAMP))


def test_a_whole_chain(team: Team, tmp_path: Path) -> None:
    for name in ("wine", "wine@staging", "wine@v1", "models:/wine/1"):
        chain = chain_of(team, name)
        assert chain.broken is None and chain.exit_code == 0, words(chain.broken) if chain.broken else ""
        assert [finding.link for finding in chain.findings] == list(Link)[:7]
        assert {finding.state for finding in chain.findings} == {"sound"}
        assert not any("?" in words(finding) for finding in chain.findings)
    (tmp_path / "model.bin").write_bytes(b"abc")
    assert chain_of(team, files=tmp_path).broken is None
    assert chain_of(team, with_files=False).findings[0].state == "left out"


def test_names_of_nothing(team: Team) -> None:
    with pytest.raises(NotFound, match="no model 'beer'"):
        chain_of(team, "beer")
    with pytest.raises(NotFound, match="no version 7"):
        chain_of(team, "wine@v7")
    with pytest.raises(NotFound, match="Production"):
        chain_of(team, "wine@production")


# Each link, tampered with


def other_bytes(team: Team) -> None:
    bytes_of(team).write_bytes(b"abd")


def no_bytes(team: Team) -> None:
    bytes_of(team).unlink()


def other_number(team: Team) -> None:
    change(team, "runs", '\\"accuracy\\":0.9', '\\"accuracy\\":0.99')


def no_run(team: Team) -> None:
    write_of(team, "runs").unlink()


def better_verdict(team: Team) -> None:
    change(team, "verdicts", '\\"candidate\\":0.9', '\\"candidate\\":0.99')


def no_verdict(team: Team) -> None:
    write_of(team, "verdicts").unlink()


def forged_promotion(team: Team) -> None:
    """An event by hand, which moves the version up by a verdict that failed."""
    run = team.session.refreshed().runs().get(f"{1:032x}")
    key = team.verdict(run, outcome="FAIL")
    (_, digest) = team.session.refreshed().runs().verdicts(run)[key]
    was = promoted(team)
    append(team, replace(was, stage="Production", from_stage="Staging", verdict=key, verdict_digest=digest))


def other_policy(team: Team) -> None:
    append(team, replace(promoted(team), stage="Production", from_stage="Staging", policy_digest="sha256:" + "1" * 64))


def skipped_stage(team: Team) -> None:
    run = team.run()
    append(team, Register(version=2, run=run.id, commit=run.commit, files={f.path: f.digest for f in run.artifacts}))
    append(
        team, replace(promoted_of(team), version=2, run=run.id, stage="Production", from_stage="None", replaces=None)
    )


def brought_without_evidence(team: Team) -> None:
    """As MLflow's client does from a repository without gates."""
    append(team, MoveFreely(version=1, stage="Production", from_stage="Staging"))


def rolled_back_to_where_it_never_was(team: Team) -> None:
    was = promoted(team)
    append(
        team,
        Rollback(
            version=1, run=was.run, commit=was.commit, stage="Production", from_stage="Staging", reason="x", passed="x"
        ),
    )


@pytest.mark.parametrize("move", [brought_without_evidence, rolled_back_to_where_it_never_was])
def test_a_stage_that_no_promotion_brought_it_to(team: Team, move: Callable[[Team], None]) -> None:
    """`verify`, `attest` and `pull` refuse it alike, and in other letters, too."""
    move(team)
    finding = chain_of(team, "wine@production").broken
    assert finding and (finding.fault, finding.link) == (Fault.NEVER_THERE, Link.VERSION)
    assert "no promotion brought it there: event 3" in words(finding)
    with pytest.raises(BrokenChain) as caught:
        attest(team.session.refreshed(), "wine@production")
    assert caught.value.exit_code == 1
    append(team, MoveFreely(version=1, stage="PRODUCTION", from_stage="Production"))
    finding = chain_of(team, "wine@v1").broken
    assert finding and finding.fault is Fault.NEVER_THERE


def test_a_version_without_a_run_or_without_its_files(team: Team, tmp_path: Path) -> None:
    """As MLflow's client registers it by an address: nothing is damaged, and nothing allows it."""
    run = promoted(team).run
    append(team, Register(version=2, source="/tmp/dir"))
    append(team, Register(version=3, run=run, commit=team.project.head, source="/tmp/dir"))
    for name, fault in (("wine@v2", Fault.WITHOUT_RUN), ("wine@v3", Fault.NO_FILES)):
        finding = chain_of(team, name).broken
        assert finding and (finding.link, finding.fault, fault.exit_code) == (Link.RUN, fault, 1)
        with pytest.raises(PromotionRefused):
            pull(team.session.refreshed(), version_name(name), tmp_path / "to", lock=tmp_path / "lock")
    assert team.refused("production", version=3).reason is Refusal.NO_FILE


def promoted_of(team: Team) -> Promote:
    events = ledger.read(team.session.refreshed().log, "wine").events
    return next(payload for event in events if isinstance(payload := payload_of(event), Promote))


def other_outcome(team: Team) -> None:
    append(team, replace(promoted(team), stage="Production", from_stage="Staging", outcome="WARN"))


def other_commit(team: Team) -> None:
    append(team, replace(promoted(team), stage="Production", from_stage="Staging", commit="1" * 40))


def withdrawn(team: Team) -> None:
    team.amend(team.session.refreshed().runs().get(f"{1:032x}"), withdrawn=True, reason="label leak")


def lost_commit(team: Team) -> None:
    """The commit is in no repository any more: the checkout is made anew."""
    shutil.rmtree(team.project.folder / ".git")
    git(team.project.folder, "init", "-q", "-b", "main")
    team.project.commit("another history")


def damaged_commit(team: Team) -> None:
    objects, head = team.project.folder / ".git" / "objects", team.project.head
    other = git(team.project.folder, "commit-tree", "-m", "another", f"{head}^{{tree}}")
    file = objects / head[:2] / head[2:]
    file.unlink()
    file.write_bytes((objects / other[:2] / other[2:]).read_bytes())


@pytest.mark.parametrize(
    ("tamper", "link", "fault", "exit_code"),
    [
        (other_bytes, Link.BYTES, Fault.OTHER_BYTES, 3),
        (no_bytes, Link.BYTES, Fault.NO_BYTES, 3),
        (other_number, Link.RUN, Fault.OTHER_RECORD, 3),
        (no_run, Link.RUN, Fault.NO_RUN, 3),
        (withdrawn, Link.RUN, Fault.WITHDRAWN, 1),
        (lost_commit, Link.COMMIT, Fault.COMMIT_NOT_HERE, 3),
        (damaged_commit, Link.COMMIT, Fault.DAMAGED_COMMIT, 3),
        (better_verdict, Link.VERDICT, Fault.OTHER_VERDICT, 3),
        (no_verdict, Link.VERDICT, Fault.VERDICT_MISSING, 3),
    ],
)
def test_what_somebody_changed_is_the_broken_link(
    team: Team, tamper: Callable[[Team], None], link: Link, fault: Fault, exit_code: int
) -> None:
    tamper(team)
    chain = chain_of(team)
    assert chain.broken is not None and (chain.broken.link, chain.broken.fault) == (link, fault)
    assert chain.exit_code == exit_code
    assert "?" not in words(chain.broken) and remedy(chain.broken)


@pytest.mark.parametrize(
    ("forge", "fault"),
    [
        (forged_promotion, Fault.NOT_PASSED),
        (other_outcome, Fault.OTHER_OUTCOME),
        (other_policy, Fault.OTHER_POLICY),
        (skipped_stage, Fault.BROKEN_RULE),
        (other_commit, Fault.BROKEN_RULE),
    ],
)
def test_an_event_that_somebody_wrote_by_hand(team: Team, forge: Callable[[Team], None], fault: Fault) -> None:
    forge(team)
    chain = chain_of(team, "wine@production")
    assert chain.broken is not None and chain.broken.fault is fault, words(chain.broken)
    assert "?" not in words(chain.broken)


def test_an_event_by_hand_in_another_spelling(team: Team) -> None:
    """What counts for the state counts for the chain, however its JSON is written."""
    log = team.session.refreshed().log
    events = ledger.read(log, "wine")
    forged = wrap(
        replace(promoted(team), stage="Production", from_stage="Staging", verdict=None), model="wine", created=STAMP
    )
    assert events.head is not None
    placed = replace(forged, seq=events.head.seq + 1, previous=events.head.digest)
    log.append(log_of("wine"), events.head, json.dumps(plain(placed), indent=1).encode())
    found = chain_of(team, "wine@production").broken
    assert found is not None and found.fault is Fault.NO_VERDICT


def test_a_log_whose_chain_is_broken(team: Team) -> None:
    folder = team.project.folder.parent / "store" / "logs" / "registry" / "wine"
    first = folder / "000001.json"
    first.write_bytes(first.read_bytes().replace(b"model.bin", b"other.bin"))
    with pytest.raises(BrokenLog, match="broken at event 2"):
        chain_of(team)


def test_files_that_differ(team: Team, tmp_path: Path) -> None:
    assert broken(team, files=tmp_path) is Fault.FILE_MISSING
    (tmp_path / "model.bin").write_bytes(b"abd")
    assert broken(team, files=tmp_path) is Fault.OTHER_BYTES


def test_a_folder_is_verified_file_by_file(tmp_path: Path) -> None:
    team = team_in(tmp_path)
    weights = team.keep(b"weights", "weights.bin")
    lines = f"{weights.digest} weights.bin\n".encode()
    folder = team.keep(lines, "model", "folder")
    run = team.run(artifacts=(replace(folder, size=7),))
    team.verdict(run)
    team.promote()
    assert chain_of(team).broken is None
    (tmp_path / "here" / "model").mkdir(parents=True)
    (tmp_path / "here" / "model" / "weights.bin").write_bytes(b"weighty")
    assert broken(team, files=tmp_path / "here") is Fault.OTHER_BYTES


def test_a_policy_that_is_not_in_this_clone(team: Team) -> None:
    """The commit of the policy is gone, and that of the run is there."""
    chain = chain_of(team)
    policy = next(finding for finding in chain.findings if finding.link is Link.POLICY)
    assert policy.facts["file"] == "ciplug.yaml"
    team.policy("waivers: []\n")
    team.judged()
    team.promote()
    commit = promoted(team).commit
    assert chain_of(team).broken is None
    git(team.project.folder, "reset", "-q", "--hard", "HEAD~1")
    git(team.project.folder, "reflog", "expire", "--expire=now", "--all")
    git(team.project.folder, "gc", "-q", "--prune=now")
    found = chain_of(team).broken
    assert found is not None and found.fault is Fault.COMMIT_NOT_HERE and found.facts["commit"] == commit


def test_a_run_that_was_judged_by_a_later_policy(team: Team) -> None:
    """A waiver names the commit of its run, so it always comes later."""
    run = team.run(accuracy=0.7)
    waiver = f"gate: accuracy, rule: min, limit: 0.6, commit: {run.commit}, expires: 2100-01-01, issue: ML-1"
    team.policy(f"waivers: [{{{waiver}, reason: launch, approved_by: alice}}]\n")
    team.verdict(run)
    team.promote(run=run.id)
    chain = chain_of(team)
    assert chain.broken is None and chain.version == 2
    policy = next(finding for finding in chain.findings if finding.link is Link.POLICY)
    assert str(policy.facts["commit"]) == team.project.head[:12] != (run.commit or "")[:12]
    # A commit that was never pushed: that of the run has the same policy.
    again = team.run()
    team.verdict(again, policy_commit="1" * 40)
    team.promote(run=again.id)
    assert chain_of(team).broken is None


def test_approvals_that_the_stage_requires_and_the_event_lacks(tmp_path: Path) -> None:
    team = team_in(tmp_path)
    team.judged()
    team.promote()
    was = promoted(team)
    team.policy("stages: {staging: {approvals: {not_author: true}}}\n")
    run = team.run()
    key = team.verdict(run, stage="staging")
    (_, digest) = team.session.refreshed().runs().verdicts(run)[key]
    digest_of_policy = team.session.refreshed().runs().verdicts(run)[key][0].policy_digest
    append(team, Register(version=2, run=run.id, commit=run.commit, files={f.path: f.digest for f in run.artifacts}))
    event = replace(
        was, version=2, run=run.id, commit=run.commit, verdict=key, verdict_digest=digest, replaces=1,
        policy_digest=digest_of_policy,
    )  # fmt: skip
    append(team, event)
    assert broken(team) is Fault.NOT_APPROVED
    append(
        team, replace(event, stage="Production", from_stage="Staging", replaces=None, approvals=("clean tree", "yes"))
    )
    found = chain_of(team, "wine@production").broken
    assert found is None or found.fault is not Fault.NOT_APPROVED


# From the command line, with git


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A clone, whose remote has version 1 in staging."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(tmp_path / "remote.git")], check=True)
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git")
    project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    return project


@pytest.mark.slow
def test_without_the_network_from_what_this_clone_has_fetched(project: Project, tmp_path: Path) -> None:
    first = project.ciplug("verify", "wine")
    assert "the chain is whole" in first.stderr, "right after the promotion"
    assert project.ciplug("verify", "wine", "--fetch").stdout == first.stdout
    git(tmp_path, "clone", "-q", str(tmp_path / "remote.git"), "other")
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    assert "no model 'wine'" in Project(tmp_path / "other").ciplug("verify", "wine", code=2).stderr
    began = time.monotonic()
    again = project.ciplug("verify", "wine@staging")
    assert time.monotonic() - began < 5
    assert again.stdout == first.stdout and again.stdout.count("ok ") == 7
    answer = project.json("verify", "wine@staging", "--json")
    assert answer["whole"] is True and [one["state"] for one in answer["links"]] == ["sound"] * 7
    assert project.ciplug("verify", "wine", "--fetch", code=3).stderr


@pytest.mark.slow
def test_it_takes_less_than_a_second(project: Project, tmp_path: Path) -> None:
    """As a whole program, offline: its own CPU and that of git."""
    project.ciplug("verify", "wine", "--fetch")
    (tmp_path / "remote.git").rename(tmp_path / "away.git")
    used = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "ciplug", "verify", "wine"], cwd=project.folder, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(used) < 1, used


@pytest.mark.slow
def test_a_model_that_was_renamed_rolled_back_and_yanked(project: Project) -> None:
    project.ciplug("promote", "wine", "--to", "production", "--version", "1")
    project.ciplug("demote", "wine", "--from", "production", "--to", "none")
    project.ciplug("rollback", "wine", "--to", "production", "--version", "1", "--reason", "back")
    project.ciplug("verify", "wine@production", "--fetch")
    project.ciplug("demote", "wine", "--from", "production", "--to", "none")
    project.ciplug("registry", "rename", "wine", "vino")
    project.ciplug("verify", "vino@v1", "--fetch")
    project.ciplug("rollback", "vino", "--to", "production", "--version", "1", "--reason", "back")
    project.ciplug("pull", "vino@production", "--to", "served")
    project.ciplug("demote", "vino", "--from", "production", "--to", "none")
    project.ciplug("registry", "rename", "vino", "wine")
    whole = project.ciplug("verify", "wine@v1", "--fetch").stdout
    assert "ok      version" in whole
    project.ciplug("registry", "rename", "wine", "vino")
    project.ciplug("registry", "yank", "vino", "1", "--reason", "label leak")
    said = project.ciplug("verify", "vino@v1", "--fetch", code=1)
    assert "it was yanked: label leak" in said.stdout
    assert "registry history 'wine'" in project.ciplug("registry", "history", "vino", "--event", "9", code=2).stderr
    assert "'vino' has no event 0" in project.ciplug("registry", "history", "vino", "--event", "0", code=2).stderr
    at = project.ciplug("registry", "at", "2030-01-01", "nope", code=2).stderr
    assert "the registry has no model 'nope'" in at and "one of: vino\n" in at


@pytest.mark.slow
def test_a_broken_chain_on_the_command_line(project: Project) -> None:
    (project.folder / "model.txt").write_text("another model")
    done = project.ciplug("verify", "wine", "--fetch", "--files", ".", code=3)
    assert done.stdout.startswith("BROKEN  bytes")
    assert "the chain is broken at its bytes" in done.stderr and "do not use it" in done.stderr
    answer = project.json("verify", "wine", "--json", "--files", ".", code=3)
    assert answer["broken"] == "bytes" and answer["links"][0]["fault"] == "other_bytes"
    assert "not a folder" in project.ciplug("verify", "wine", "--files", "model.txt", code=2).stderr
    signature = ("--model-signature", "no.sig", "--public-key", "model.txt")
    missing = project.ciplug("verify", "wine", "--files", ".", *signature, code=2).stderr
    assert "--model-signature no.sig: there is no such file" in missing


def test_documents_where_the_policy_names_no_signers(team: Team, tmp_path: Path) -> None:
    (tmp_path / PROVENANCE).write_text('{"subject": []}')
    assert broken(team, attestations=tmp_path) is Fault.NO_SIGNERS
