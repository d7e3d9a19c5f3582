"""What strangers try with a bundle, and what comes of it: each attack is named, and changes nothing."""

from __future__ import annotations

import io
import json
import re
import struct
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
import yaml
from cmarkgfm.cmark import Options

from ciplug.bundles import archive as ci_artifacts_zip
from ciplug.cli import main
from ciplug.forges.base import OpenPullRequest
from ciplug.records import bundle, canonical
from ciplug.records.keys import run_key, verdict_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run
from ciplug.records.verdict import GateResult, Verdict
from ciplug.reports.comment import MARKER
from ciplug.steps import collect, workflow_run
from ciplug.steps.session import open_session
from tests.bundles import a_run, objects_of, packed, zipped
from tests.project import Project, git
from tests.servers.github_api import GitHubApi
from tests.servers.gitlab_api import GitLabApi

ROOT = Path(__file__).resolve().parents[2]
HEAD = "f" * 40
FILE = "ciplug-report/bundle.ndjson"


def honest(**fields: Any) -> Run:
    return a_run(HEAD, trusted=False, **fields)


def forged(run: Run | None = None, **fields: Any) -> bytes:
    """A bundle of one run, with fields of its record put there by hand."""
    run = run or honest()
    record = {**json.loads(canonical.dumps(run)), **fields}
    return bundle.pack({run_key(run).key: json.dumps(record).encode()})


def of_record(text: str, run: Run | None = None) -> bytes:
    """A bundle whose one run is this text; RUN stands for an honest one."""
    run = run or honest()
    whole = canonical.dumps(run).decode().rstrip("\n")
    return bundle.pack({run_key(run).key: text.replace("RUN", whole[1:-1]).encode()})


# The archive


def entries(*files: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def patched(data: bytes, mark: bytes, at: int, value: bytes) -> bytes:
    """An archive with other bytes, counted from a mark in it."""
    start = data.index(mark) + at
    return data[:start] + value + data[start + len(value) :]


def a_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(FILE)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    return info


def encrypted() -> bytes:
    return patched(patched(zipped({FILE: b"x"}), b"PK\x03\x04", 6, b"\1"), b"PK\x01\x02", 8, b"\1")


def wrong_checksum() -> bytes:
    data = zipped({FILE: packed(honest())}, zipfile.ZIP_STORED)
    return patched(data, b"ciplug-bundle", 0, b"ciplug-Bundle")


def zip64_lie() -> bytes:
    """A size of 2**60 in the extra field that is for large files."""
    data = zipped({FILE: packed(honest())}, zipfile.ZIP_STORED)
    extra = struct.pack("<HHQQ", 1, 16, 1 << 60, 1 << 60)
    start = data.index(b"PK\x01\x02")
    data = patched(data, b"PK\x01\x02", 20, b"\xff" * 8)
    data = patched(data, b"PK\x01\x02", 30, struct.pack("<H", len(extra)))
    name_end = start + 46 + len(FILE)
    data = data[:name_end] + extra + data[name_end:]
    return patched(data, b"PK\x05\x06", 12, struct.pack("<I", data.index(b"PK\x05\x06") - start))


def many_in_one() -> bytes:
    """Entries that all lie on the bytes of the first, so that a small archive has no end."""
    data = zipped({FILE: b"\0" * 900_000})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory = data[start:end] * 600
    count = struct.pack("<HH", 600, 600)
    return data[:start] + directory + data[end : end + 8] + count + struct.pack("<II", len(directory), start) + b"\0\0"


ARCHIVES: dict[str, tuple[bytes, str]] = {
    "no archive": (packed(honest()), "not a zip archive, or a damaged one"),
    "a cut archive": (zipped({FILE: packed(honest())})[:-30], "not a zip archive, or a damaged one"),
    "a bomb": (zipped({FILE: b"\0" * 20_000_000}), "a zip bomb?"),
    "an archive in the archive": (zipped({FILE: zipped({FILE: packed(honest())})}), "not a bundle of ciplug"),
    "an absolute name": (zipped({"/etc/bundle.ndjson": b"x"}), "/etc/bundle.ndjson:1: not a bundle of ciplug"),
    "a name that climbs": (zipped({"../../bundle.ndjson": b"x"}), "../../bundle.ndjson:1: not a bundle of ciplug"),
    "a name of Windows": (zipped({"C:\\x\\bundle.ndjson": b"x"}), "not a bundle of ciplug"),
    "a symbolic link": (entries((a_link(), b"/etc/passwd")), "not a bundle of ciplug"),
    "a name of 60,000 characters": (zipped({"a" * 60_000 + "bundle.ndjson": b"x"}), "not a bundle of ciplug"),
    "a name that is a workflow command": (zipped({"\n::set-output name=x::bundle.ndjson": b"x"}), "not a bundle"),
    "a name that is written backwards": (zipped({"\u202ebundle.ndjson": b"x"}), "not a bundle of ciplug"),
    "an encrypted file": (encrypted(), "encrypted"),
    "a compression that nobody uses": (zipped({FILE: b"x"}, zipfile.ZIP_LZMA), "compressed in a way"),
    "a wrong checksum": (wrong_checksum(), "damaged"),
    "a size that is a lie": (patched(zipped({FILE: b"x" * 999}, 0), b"PK\1\2", 20, b"\xf0\xff\xff\xff" * 2), "damaged"),
    "a size of 64 bits that is a lie": (zip64_lie(), "damaged"),
}  # fmt: skip


# The text


BUNDLES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not a bundle of ciplug"),
    "no run": (bundle.pack({}), "it has no run"),
    "a byte order mark": (b"\xef\xbb\xbf" + packed(honest()), "not a bundle of ciplug"),
    "UTF-16": (packed(honest()).decode().encode("utf-16"), "not a bundle of ciplug"),
    "a bundle cut off": (packed(honest())[:-10], "cut off"),
    "a line of a million brackets": (bundle.pack({}) + b"[" * 1_000_000 + b"\n", "not an object of a bundle"),
    "a key twice": (bundle.pack({}) + bundle.pack(objects_of(honest())).split(b"\n", 1)[1] * 2, "appears twice"),
    "a key that climbs": (bundle.pack({}) + b'{"key":"runs/../../x.json","text":""}\n', "is not a key"),
    "a key into .git": (bundle.pack({}) + b'{"key":".git/hooks/pre-push","text":""}\n', "is not a key"),
    "half a character": (bundle.pack({}) + b'{"key":"a","text":"\\ud800"}\n', "not an object of a bundle"),
    "a record with a byte order mark": (of_record("\ufeff{RUN}"), "not a JSON record"),
    "a record with a key twice": (of_record('{RUN,"model":"other"}'), "'model' appears twice"),
    "a record with NaN": (of_record('{RUN,"seed":NaN}'), "NaN is not JSON"),
    "a record with half a character": (of_record('{RUN,"name":"\\ud800"}'), ".json"),
    "a record of deep lists": (of_record('{RUN,"x":' + "[" * 100 + "]" * 100 + "}"), "nested in more than"),
    "a record of very deep lists": (of_record('{RUN,"x":' + "[" * 50_000 + "]" * 50_000 + "}"), "nested"),
    "a number of 5,000 digits": (of_record('{RUN,"seed":' + "9" * 5_000 + "}"), "not a JSON record"),
    "a metric that is a text": (forged(metrics={"accuracy": "1.0"}), "metrics"),
    "a metric that is true": (forged(metrics={"accuracy": True}), "metrics"),
    "a metric that is a workflow command": (forged(metrics={"a\r::add-mask": 1.0}), "cannot be the name of a metric"),
    "a metric of two lines": (forged(metrics={"a\n::error": 1.0}), "cannot be the name of a metric"),
    "a metric with a letter that turns the line": (forged(metrics={"a\u202eb": 1.0}), "cannot be the name of a metric"),
    "a parameter that is a list": (forged(params={"a": [1]}), "params"),
    "a model with a path": (forged(model="../wine"), "cannot be the name of a model"),
    "a model of two lines": (forged(model="wine\n::error::x"), "cannot be the name of a model"),
    "a model without width": (forged(model="wi\u200bne"), "cannot be the name of a model"),
    "a time that is none": (forged(started="::stop-commands::x"), "not a point in time"),
    "no such status": (forged(status="passed"), "status"),
    "an artifact that it says is kept": (
        forged(artifacts=[{"path": "m", "digest": "sha256:0", "size": 1, "store": "s3://victim/x"}]),
        "no file is taken from this bundle",
    ),
}  # fmt: skip


# The claims


def claims(victim: Run) -> dict[str, tuple[bytes, str]]:
    """What a bundle says of itself; `victim` is recorded, by a job of the repository's own."""
    verdict = Verdict(
        run=victim.id, model="wine", commit=victim.commit, outcome="PASS", created=victim.ended,
        policy_digest="sha256:" + "0" * 64, policy_file="ciplug.yaml",
    )  # fmt: skip
    option = replace(honest(), commit="--upload-pack=x")
    return {
        "a run that says it is trusted": (packed(a_run(HEAD)), "claims to be of a trusted job"),
        "a run that does not say whether": (forged(a_run(HEAD), provenance={}), "claims to be of a trusted job"),
        "a run of main's commit": (packed(replace(honest(), commit=victim.commit)), "it claims the commit"),
        "a run of no commit": (packed(replace(honest(), commit=None)), "it claims the commit None"),
        "a run with the id of another": (packed(honest(id=victim.id)), "is recorded already, as runs/"),
        "a commit that is an option": (bundle.pack({run_key(option).key: canonical.dumps(option)}), "not a commit id"),
        "a verdict on another's run": (
            bundle.pack({**objects_of(honest()), **dict([verdict_object(verdict)])}), "about no run of the bundle",
        ),
        "an entry of the registry": (
            bundle.pack({**objects_of(honest()), "registry/wine/000001.json": b"{}"}), "verdicts only",
        ),
        "the format of the store": (bundle.pack({**objects_of(honest()), "FORMAT": b"9"}), "verdicts only"),
    }  # fmt: skip


# The pull request


def follows(
    tmp_path: Path, api: GitHubApi, head: str = HEAD, repository: str | None = "stranger/demo"
) -> dict[str, str]:
    """The environment of a job that follows run 42, of branch `topic` of a repository."""
    event = tmp_path / "event.json"
    run = {"id": 42, "event": "pull_request", "head_sha": head, "head_branch": "topic", "pull_requests": []}
    payload = {
        "action": "completed",
        "repository": {"full_name": "acme/demo", "default_branch": "main"},
        "workflow_run": {**run, "head_repository": repository and {"full_name": repository}},
    }
    event.write_text(json.dumps(payload))
    return {
        "GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": "d" * 40, "GITHUB_REF_NAME": "main", "GITHUB_REPOSITORY": "acme/demo", "GITHUB_RUN_ID": "900",
        "GITHUB_SERVER_URL": api.origin, "GITHUB_API_URL": api.url, "GITHUB_TOKEN": "job",
        **{f"GITHUB_{name}": str(tmp_path / name) for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY")},
    }  # fmt: skip


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def job(github_api: GitHubApi) -> GitHubApi:
    granted = {"pull-requests": "write", "issues": "write", "statuses": "write", "actions": "read"}
    github_api.add_token("job", "github-actions[bot]", app=True, permissions=granted)
    github_api.add_run(42, commit=HEAD, owner="stranger")
    return github_api


@pytest.fixture
def project(tmp_path: Path) -> Project:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "demo.git")
    return Project.create(tmp_path / "work", remote=tmp_path / "demo.git")


@pytest.fixture
def ciplug(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command line, in this process: exit code, and all that it says."""

    def call(*args: object, env: Mapping[str, str]) -> tuple[int, str]:
        with monkeypatch.context() as patch:
            patch.chdir(project.folder)
            for name, value in env.items():
                patch.setenv(name, value)
            capsys.readouterr()
            code = main([str(arg) for arg in args])
            said = capsys.readouterr()
        return code, said.out + said.err

    return call


def recorded(project: Project) -> set[str]:
    return {key.id for key in open_session(cwd=project.folder).runs().recorded()}


def harmless(said: str) -> None:
    """No line of a log is a command to the runner, none is written backwards."""
    assert not re.search(r"(?m)^\s*::|##\w*\[", said), said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]", said)


@pytest.mark.slow
def test_every_attack_is_named_and_an_honest_bundle_beside_them_is_recorded(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    victim = a_run(project.head)
    (tmp_path / "bundle.ndjson").write_bytes(packed(victim))
    assert ciplug("collect", tmp_path / "bundle.ndjson", env={})[0] == 0
    before = git(project.folder, "ls-remote", "origin")
    attacks = dict(ARCHIVES)
    for name, (content, why) in {**BUNDLES, **claims(victim)}.items():
        attacks[name] = zipped({FILE: content}), why
    for name, (archive, _) in attacks.items():
        job.add_artifact(42, f"ciplug {name}", archive)
    env = follows(tmp_path, job)

    code, said = ciplug("collect", env=env)
    assert code == 3
    assert recorded(project) == {victim.id}
    assert git(project.folder, "ls-remote", "origin") == before
    assert "0 runs of 0 bundles recorded in branch 'ciplug' of " in said
    assert f"; {len(attacks)} bundles refused" in said

    good = honest()
    job.add_artifact(42, "ciplug good", zipped({FILE: packed(good)}))
    code, said = ciplug("collect", env=env)
    assert code == 3
    assert recorded(project) == {victim.id, good.id}
    refused = [line for line in said.splitlines() if "refused: " in line]
    for name, (_, why) in attacks.items():
        found = [line for line in refused if f"artifact ciplug {name} (" in line]
        assert len(found) == 1, (name, refused)
        assert why in found[0], (name, found)
        assert len(found[0]) < 1000
    assert len(refused) == len(attacks)
    assert "1 run of 1 bundle recorded in branch 'ciplug' of " in said
    assert f"; {len(attacks)} bundles refused" in said
    harmless(said)
    assert not any((tmp_path / name).exists() for name in ("OUTPUT", "ENV", "PATH", "STEP_SUMMARY"))
    assert not [call for call in job.wrote() if "/uploads/" not in call.path]


def test_files_of_the_same_name_are_a_bundle_each(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    good = honest()
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = entries((FILE, packed(good)), (FILE, packed(replace(good, metrics={"accuracy": 1.0}))))
    job.add_artifact(42, "ciplug", archive)
    code, said = ciplug("collect", env=follows(tmp_path, job))
    assert code == 3 and "with other bytes" in said
    assert open_session(cwd=project.folder).runs().get(good.id, HEAD).metrics == good.metrics


def test_entries_that_share_their_bytes_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ci_artifacts_zip, "MAX_UNFOLDED", 5_000_000)
    read = 0
    with pytest.raises(ci_artifacts_zip.RecordError, match=r"more than 5,000,000 bytes in all: a zip bomb\?"):
        for _ in ci_artifacts_zip.files(many_in_one(), "z", lambda path: True):
            read += 1
    assert read < 8


def test_how_much_a_fork_may_add(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [honest() for _ in range(4)]
    for number, run in enumerate(runs):
        job.add_artifact(42, f"ciplug-{number}", zipped({FILE: packed(run)}))
    env = follows(tmp_path, job)
    monkeypatch.setattr(collect, "MAX_UNTRUSTED_OBJECTS", 3 * 3)
    code, said = ciplug("collect", env=env)
    assert code == 3 and "artifact ciplug-3" in said and "more than 9 objects from a fork in total" in said
    assert recorded(project) == {run.id for run in runs[:3]}
    monkeypatch.setattr(collect, "MAX_UNTRUSTED", len(packed(runs[0])) + 10)
    code, said = ciplug("collect", env=env)
    assert code == 3 and "artifact ciplug-1" in said and "and the bundles after it are not read: more than" in said
    # Of the repository's own branches there is room for more.
    job.add_run(43, commit=HEAD)
    for number in range(4):
        job.add_artifact(43, f"ciplug-{number}", zipped({FILE: packed(a_run(HEAD))}))
    code, said = ciplug("collect", "--github-run", "43", env={**env, "GITHUB_EVENT_NAME": "push"})
    assert code == 0, said


def test_what_pull_request_target_has_run_is_a_stranger_s(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    job.add_run(43, commit=HEAD)["event"] = "pull_request_target"
    job.add_artifact(43, "ciplug", zipped({FILE: packed(a_run(HEAD))}))
    code, said = ciplug("collect", "--github-run", "43", env=follows(tmp_path, job))
    assert code == 3 and "claims to be of a trusted job" in said
    assert not recorded(project)


# Which pull request it is

OURS = OpenPullRequest(number=7, head=HEAD, base="main")


@pytest.mark.parametrize(
    ("proposed", "found"),
    [
        ([OURS], 7),
        ([OURS, OURS._replace(number=9, base="next")], 7),
        ([OURS, OURS._replace(number=9, head="e" * 40)], 7),
        ([], "no pull request from stranger/demo:topic is open"),
        ([OURS._replace(head="e" * 40)], "pull request #7 has moved on to eeeeeeee, and this is ffffffff"),
        ([OURS._replace(base="next")], "pull request #7 goes into next, and the gates here are those of main"),
    ],
)
def test_which_pull_request_is_spoken_to(proposed: list[OpenPullRequest], found: int | str) -> None:
    choice = workflow_run.choose(proposed, "stranger/demo:topic", HEAD, "main")
    assert (choice.reason if isinstance(choice, workflow_run.NoPullRequest) else choice) == found


STRANGER_S = {"branch": "topic", "commit": HEAD, "owner": "stranger"}
NOT_OPEN = "no pull request from stranger/demo:topic is open"
NOT_SPOKEN_TO: dict[str, tuple[dict[str, Any], str]] = {
    "closed": ({"state": "closed"}, NOT_OPEN),
    "moved on": ({"commit": "e" * 40}, "#7 has moved on to eeeeeeee, and this is ffffffff"),
    "into another branch": ({"base": "next"}, "#7 goes into next, and the gates here are those of main"),
    "of another fork, with the same commit": ({"owner": "victim"}, NOT_OPEN),
    "of a branch of ours, with the same commit": ({"owner": None}, NOT_OPEN),
    "of another repository of the same owner": ({"repository": "stranger/demo-2"}, NOT_OPEN),
    "of a repository that is gone": ({"repository": None}, NOT_OPEN),
}


@pytest.mark.slow
def test_who_has_no_pull_request_gets_no_comment_and_no_status(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    """Its run is recorded, for its commit."""
    # What the bundle says about it is nobody's business.
    run = honest(provenance=Provenance(context=Context(trusted=False, pull_request=7)))
    job.add_artifact(42, "ciplug", zipped({FILE: packed(run)}))
    env = follows(tmp_path, job)
    assert ciplug("collect", env=env)[0] == 0
    assert recorded(project) == {run.id}
    code, said = ciplug("report", "--post", env=env)
    assert code == 0 and f"no comment and no commit status: {NOT_OPEN}" in said
    for name, (pull, why) in NOT_SPOKEN_TO.items():
        other = dict(pull)
        repository = other.pop("repository", "")
        made = job.add_pull(7, **{**STRANGER_S, **other})
        if repository != "":
            made["head"]["repo"] = repository and {"full_name": repository}
        code, said = ciplug("report", "--post", env=env)
        assert code == 0 and "no comment and no commit status: " in said and why in said, (name, said)
    assert not job.wrote() and MARKER in (tmp_path / "STEP_SUMMARY").read_text()


def test_a_fork_that_is_gone_and_an_api_that_refuses(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    job.add_pull(7, branch="topic", commit=HEAD, owner="stranger")
    job.add_artifact(42, "ciplug", zipped({FILE: packed(honest())}))
    assert ciplug("collect", env=follows(tmp_path, job))[0] == 0
    code, said = ciplug("report", "--post", env=follows(tmp_path, job, repository=None))
    assert code == 0 and "no commit status: the repository that the run was of is gone" in said
    job.fail_next(403, path="/pulls", body={"message": "Resource not accessible by integration"})
    code, said = ciplug("report", "--post", env=follows(tmp_path, job))
    assert "no comment and no commit status: cannot look for the pull request" in said and "pull-requests: read" in said
    assert not job.wrote()


def test_a_commit_of_our_own_branch_without_a_pull_request_has_its_status(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    job.add_run(42, commit=HEAD)
    job.add_artifact(42, "ciplug", zipped({FILE: packed(a_run(HEAD))}))
    env = follows(tmp_path, job, repository="acme/demo")
    assert ciplug("collect", env=env)[0] == 0
    code, said = ciplug("report", "--post", env=env)
    assert code == 0 and "this commit has no open pull request" in said
    assert [status["state"] for status in job.statuses[HEAD]] == ["success"]


def test_a_fork_sets_no_status_on_the_tip_of_a_branch_of_ours(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    """A status belongs to a commit, and so to every pull request from it, whoever has opened them."""
    tip = project.branch("ours", {"accuracy": 0.9})
    project.push()
    git(project.folder, "checkout", "-q", "main")
    job.runs[42]["head_sha"] = tip
    job.add_pull(7, branch="topic", commit=tip, owner="stranger")
    job.add_artifact(42, "ciplug", zipped({FILE: packed(a_run(tip, trusted=False))}))
    env = follows(tmp_path, job, head=tip)
    assert ciplug("collect", env=env)[0] == 0
    code, said = ciplug("report", "--post", env=env)
    assert code == 0 and "no commit status: the commit is the tip of the branch 'ours'" in said
    assert job.comments[7] and tip not in job.statuses


def test_the_gates_are_those_of_what_it_goes_into(
    tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call
) -> None:
    """Rules for `main` judge what wants to go there; a fork's branch cannot choose others by its name."""
    policy = (project.folder / "ciplug.yaml").read_text()
    rules = '\nbranches:\n  "*topic": {on_no_baseline: warn}\n  main: {on_no_baseline: fail}\n'
    (project.folder / "ciplug.yaml").write_text(policy + rules)
    job.add_pull(7, branch="topic", commit=HEAD, owner="stranger")
    job.add_artifact(42, "ciplug", zipped({FILE: packed(honest())}))
    env = follows(tmp_path, job)
    assert ciplug("collect", env=env)[0] == 0
    assert ciplug("report", "--post", env=env)[0] == 0
    assert [status["state"] for status in job.statuses[HEAD]] == ["failure"]


# What the comment shows

PAYLOADS = {
    "mention": "@octocat and @acme/owners",
    "reference": "#123 acme/demo#7 GH-12 closes #1",
    "link": "[click](https://evil.example/x) https://evil.example www.evil.example",
    "image": "![x](https://evil.example/pixel.png)",
    "html": "<img src=https://evil.example/x onerror=alert(1)><script>alert(1)</script></td></table></details>",
    "comment": f"--> {MARKER} <!-- <!--",
    "table": "| a | b |\\| c |",
    "lines": "one\n\n# Heading\n- [ ] task\n/close\n\n::set-output name=x::y\n::add-mask::a\n::error::b\n##[error]c",
    "code": "`code` ``` ```\n~~~ &lt;b&gt; &#64;octocat",
    "bidi": "\u202eevil\u2066 \u200b\u2060\ufeff \x1b[31mred",
    "long": "x" * 5_000,
}


class _Seen(HTMLParser):
    """What is in a comment as a browser reads it, and where a forge looks for mentions: not in code."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self._in_code = 0
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(cmarkgfm.github_flavored_markdown_to_html(body, options=Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_code += tag == "code"
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert {name for name, _ in attrs} <= {"align", "href"}

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag == "code"

    def handle_data(self, data: str) -> None:
        if not self._in_code:
            self.text += data


def shows_only_itself(body: str, server: str) -> None:
    seen = _Seen(body)
    # `pre` is the output of a training that failed: its lines are code.
    assert not seen.tags & {"img", "script", "h1", "input", "iframe", "style", "svg", "form"}, seen.tags
    assert all(link.startswith(f"{server}/acme/demo/") for link in seen.links), seen.links
    assert not re.search(r"@\w|#\d|GH-\d|://|www\.", seen.text), seen.text
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e\u2066-\u2069]", body)
    assert not re.search(r"(?m)^\s*(/|::|##\[)", body)
    assert body.splitlines().count(MARKER) == 1 and body.count("<!--") == 1


def test_no_text_of_a_bundle_is_more_than_text(tmp_path: Path, job: GitHubApi, project: Project, ciplug: Call) -> None:
    """Every field that a stranger fills in, with every payload, from the artifact to the comment and the summary."""
    printable = {
        name: re.sub(r"[/:\\]", "", "".join(c for c in text if c.isprintable()))[:120]
        for name, text in PAYLOADS.items()
    }
    job.add_pull(7, branch="topic", commit=HEAD, owner="stranger")
    objects: dict[str, bytes] = {}
    for name, text in PAYLOADS.items():
        run = honest(
            model=f"{printable[name]}"[:120],
            name=text,
            status="failed",
            tags={text: text},
            params={text: text, "plain": text},
            metrics={"accuracy": 0.9, "@octocat #12 [a](b)": 1.0, "#1": 1.0},
            datasets=(File(path=text, digest=text, size=1),),
            artifacts=(File(path=text, digest=text, size=1),),
            provenance=Provenance(
                command=(text,), signal=text, error=text, last_lines=(text, "```", "/close"),
                    python=text, os=text, ciplug=text,
                packages={text: text}, lockfiles={text: text},
                context=Context(
                    host=text, event=text, branch=text, target_branch=text, tag=text,
                    repository=text, job=text, actor=text,
                    server_url="https://evil.example", run_url="https://evil.example/x", api_url=text,
                    pull_request=1, trusted=False,
                ),
            ),
        )  # fmt: skip
        gate = GateResult(gate=text, metric=text, rule=text, outcome="FAIL", reason=text, advice=text, notes=(text,))
        verdict = Verdict(
            run=run.id, model=run.model, commit=HEAD, outcome="PASS", gates=(gate,), created=run.ended,
            policy_digest=text, policy_file=text, notes=(text,),
        )  # fmt: skip
        objects.update({run_key(run).key: canonical.dumps(run), **dict([verdict_object(verdict)])})
    job.add_artifact(42, "ciplug", zipped({FILE: bundle.pack(objects)}))
    env = follows(tmp_path, job)
    code, said = ciplug("collect", "--verbose", env=env)
    assert code == 0, said
    assert f"{len(PAYLOADS)} runs of 1 bundle recorded" in said
    harmless(said)
    code, said = ciplug("report", "--verbose", "--post", env=env)
    assert code == 0, said
    harmless(said)
    assert set(job.comments) == {7} and set(job.statuses) <= {HEAD}
    (comment,) = job.comments[7]
    shows_only_itself(comment["body"], job.origin)
    shows_only_itself((tmp_path / "STEP_SUMMARY").read_text(), job.origin)
    assert not any((tmp_path / name).exists() for name in ("OUTPUT", "ENV", "PATH"))
    for status in job.statuses[HEAD]:
        assert "octocat" not in status["description"] and "evil" not in (status["target_url"] or "")


# Hosts that have no workflow of their own for it


def test_a_commit_that_is_named_gets_comment_and_status_wherever_the_job_is(
    tmp_path: Path, project: Project, ciplug: Call, gitlab_api: GitLabApi, job: GitHubApi
) -> None:
    """On main, by hand: the run of a fork's pipeline is recorded, and its merge request has the note."""
    gitlab_api.add_token("user-token", "tanuki", scopes=("api",), role="developer")
    gitlab_api.add_merge_request(3, commit=HEAD, source=8)
    gitlab_api.add_pipeline(41, commit=HEAD, ref="topic", project="stranger/demo")
    gitlab_api.add_job(41, "ciplug", zipped({FILE: packed(honest())}))
    env = {
        "GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/demo", "CI_PROJECT_ID": "7", "CI_SERVER_URL": gitlab_api.url,
        "CI_API_V4_URL": gitlab_api.api_url, "CI_COMMIT_SHA": project.head, "CI_COMMIT_BRANCH": "main",
        "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": "900", "CIPLUG_GITLAB_TOKEN": "user-token",
    }  # fmt: skip
    code, said = ciplug("collect", "--gitlab-pipeline", "stranger/demo:41", env=env)
    assert code == 0, said
    code, said = ciplug("report", "--post", "--commit", HEAD, env=env)
    assert code == 0, said
    assert "by a fork's job" in gitlab_api.comments[3][0]["body"]
    assert [status["status"] for status in gitlab_api.statuses[HEAD]] == ["success"]
    assert project.head not in gitlab_api.statuses

    # On GitHub, from a host that knows nothing of its events.
    job.add_pull(7, branch="topic", commit=HEAD, owner="stranger")
    env = {"CIPLUG_GITHUB_TOKEN": "job", "GITHUB_API_URL": job.url}
    git(project.folder, "remote", "set-url", "--push", "origin", str(tmp_path / "demo.git"))
    env |= {"TF_BUILD": "True", "BUILD_REPOSITORY_PROVIDER": "GitHub", "BUILD_REPOSITORY_NAME": "acme/demo"}
    env |= {"BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_SOURCEVERSION": project.head}
    env |= {"BUILD_REPOSITORY_URI": "https://github.com/acme/demo"}
    code, said = ciplug("report", "--post", "--commit", HEAD, env=env)
    assert code == 0, said
    assert "by a fork's job" in job.comments[7][0]["body"] and set(job.statuses) == {HEAD}


# The workflows to copy


def test_the_workflows_take_nothing_of_a_fork_s(tmp_path: Path) -> None:
    """Each job says what it may; whoever follows a fork's run checks out its own branch, and pastes nothing."""
    for file in sorted((ROOT / "templates/github").glob("*.yml")):
        text = file.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        events = workflow[True]  # YAML's word for `on`
        assert "pull_request_target" not in events
        assert workflow["permissions"] == {}
        assert "secrets." not in text, f"{file.name}: a fork's job has no secret, and ours need none"
        for job in workflow["jobs"].values():
            assert job["permissions"]
            for step in job["steps"]:
                assert "${{" not in step.get("run", ""), (file.name, step)
                assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", step.get("uses", f"a@{'0' * 40}"))
                if "workflow_run" in events:
                    known = ("", "actions/checkout", "actions/setup-python", "your-org/ciplug/setup")
                    assert step.get("uses", "").partition("@")[0] in known
                    assert not {"ref", "repository"} & set(step.get("with", {}))
        if "workflow_run" in events:
            assert set(re.findall(r"\$\{\{.*?\}\}", text)) == {"${{ github.token }}", "${{ !cancelled() }}"}


def test_no_token_is_in_the_environment_of_the_training(project: Project, ciplug: Call, tmp_path: Path) -> None:
    names = [
        *(f"CIPLUG_{name}_TOKEN" for name in ("PUSH", "GITHUB", "GITLAB", "GITEA", "BITBUCKET", "JENKINS")),
        *("CIPLUG_JENKINS_USER", "CIPLUG_INPUT_COMMAND", "INPUT_TOKEN", "INPUT_PUSH-TOKEN"),
    ]
    seen = tmp_path / "seen.json"
    script = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))"
    env = {**dict.fromkeys(names, "a-secret"), "CIPLUG_SPOOL": str(tmp_path / "spool")}
    bundled = tmp_path / "bundle.ndjson"
    _, said = ciplug("run", "--bundle", bundled, "--", sys.executable, "-c", script, env=env)
    assert seen.exists(), said
    assert "a-secret" not in seen.read_text() and "CIPLUG_RUN_ID" in seen.read_text()
