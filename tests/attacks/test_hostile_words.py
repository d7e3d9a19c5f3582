"""Whatever strangers write into records, no line of a command starts a command of a CI host, or moves a terminal."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.records.amendment import Amendment
from ciplug.records.canonical import digest, dumps
from ciplug.records.keys import amendment_object, log_of
from ciplug.records.provenance import Context, Provenance
from ciplug.records.registry_deployment import Deploy
from ciplug.records.registry_event import Register
from ciplug.records.run import File, Run
from ciplug.records.series import Series
from ciplug.registry.events import wrap
from ciplug.steps.session import open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import CONFIG, Project

EVIL = (
    "x\n::error::owned\r\n##vso[task.setvariable variable=a]b\n##[error]c\x1b[2J\x1b]0;t\x07\u202eabc\u2066 "
    "::set-output name=a::b"
)
START = "::error::owned ##vso[task.complete]\x1b[31m"
STARTS_A_COMMAND = re.compile(
    r"^\s*::|##(?=\w*\[)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", re.MULTILINE
)
COMMANDS = [
    ["runs", "list", "--all", "--children"],
    ["runs", "list", "--format", "csv"],
    ["runs", "list", "--format", "markdown"],
    ["runs", "list", "--where", f"tags.a = '{START}'"],
    ["runs", "show", "{run}"],
    ["runs", "show", START],
    ["runs", "tag", "{run}", f"{START}={EVIL}"],
    ["runs", "rename", "{run}", EVIL],
    ["runs", "sign", "{run}"],
    ["runs", "sign", START],
    ["runs", "withdraw", "{other}", "--reason", EVIL],
    ["runs", "restore", "{other}"],
    ["runs", "withdraw", "{last}", "--reason", EVIL, "--erase"],
    ["leaderboard", "accuracy", "--children"],
    ["leaderboard", START],
    ["history", "accuracy"],
    ["history", START, "--branch", START],
    ["blame", "accuracy", "--model", START],
    ["bisect", START, "--good", START, "--link", EVIL, "--", sys.executable, "train.py"],
    ["bisect", "accuracy", "--good", "HEAD", "--bad", START, "--", START],
    ["site", "--output", "pages"],
    ["site", "--output", "pages", "--branch", START],
    ["compare"],
    ["compare", "--baseline", START],
    ["report"],
    ["report", "--format", "text"],
    ["gate"],
    ["gate", "--run", START],
    ["gates"],
    ["policy", "explain"],
    ["policy", "check"],
    ["policy", START],
    ["promote", START, "--to", START],
    ["promote", "wine", "--to", "staging", "--reason", EVIL],
    ["deploy", "wine@v1", "--to", START],
    ["deploy", START, "--to", "prod"],
    ["smoke-test", "wine@v1", "--to", START],
    ["smoke-test", START, "--to", "prod"],
    ["undeploy", "wine", "--from", START],
    ["undeploy", START, "--from", "prod"],
    ["deployments", "list"],
    ["deployments", "list", "--json"],
    ["deployments", "status"],
    ["registry", "list"],
    ["registry", "show", "wine"],
    ["registry", "history", "wine"],
    ["registry", "show", START],
    ["registry", "history", "wine", "--event", "1"],
    ["registry", "at", "2026-11-23T19:24:00Z"],
    ["registry", "verify"],
    ["registry", "alias", "set", "wine", START, "1"],
    ["registry", "tag", "wine", f"{START}={EVIL}"],
    ["registry", "describe", "wine", EVIL],
    ["registry", "archive", "wine", "1", "--reason", EVIL],
    ["registry", "yank", "wine", "1", "--reason", EVIL],
    ["demote", "wine", "--from", START, "--reason", EVIL],
    ["rollback", "wine", "--to", "production", "--reason", EVIL],
    ["verify", "wine@v1"],
    ["verify", f"{START}@v1"],
    ["attest", "wine@v1", "--output", "evidence"],
    ["ui", "--port", START],
    ["import", "mlflow", START],
    ["export", "mlflow", START],
    ["pull", "{run}"],
    ["pull", START],
    ["run", "--tag", f"a={EVIL}", "--model", START, "--", sys.executable, "train.py", EVIL],
    ["run", "--tag", f"a={EVIL}", "--", sys.executable, "train.py", EVIL],
    ["record", "--metrics", START],
    ["record", "--spooled"],
    ["collect", START],
    ["ci", "--output-dir", "report", "--", sys.executable, "train.py"],
    ["fsck"],
    ["fsck", "--repair"],
    ["compact", "--dry-run"],
    ["compact"],
    ["doctor"],
    ["init", START],
    [START],
    ["runs", START],
    ["monitor", START],
    ["monitor", "wine@v1", "--predictions", START, "--dry-run"],
    ["serve-log", START, "--log", START, "--model-version", START],
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A store in which each text of a run, of amendments, of the registry, and each key is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    made = Project.with_remote(folder, config=CONFIG)
    session = open_session(cwd=made.folder)
    for number in range(3):
        run = Run(
            id=f"{number + 1:032x}",
            model="wine" if number else START,
            status="finished",
            started="2026-11-23T19:24:00.000Z",
            ended=EVIL,
            commit=made.head,
            name=EVIL,
            parent=START if number == 2 else None,
            metrics={"accuracy": 0.9, "::error::m": 0.5, "loss##vso[x]y": 0.1},
            params={EVIL: EVIL, START: 1},
            tags={EVIL: EVIL, "a": START},
            artifacts=(File(path=EVIL, digest="sha256:" + "a" * 64, size=3, store=f"git+https://{START}"),),
            datasets=(File(path=START, digest="sha256:" + "b" * 64, size=3),),
            provenance=Provenance(
                dirty=True,
                dirty_files=(EVIL, START),
                command=(EVIL,),
                error=EVIL,
                last_lines=(EVIL, START, "/close"),
                context=Context(host=START, branch=EVIL, actor=START, run_url=EVIL, trusted=number == 1, job=START),
            ),
        )
        session.store.add(run_objects(run, {"accuracy": Series(steps=(0, 1), values=(0.5, 0.9))}))
        key, data = amendment_object(
            Amendment(run=run.id, model=run.model, commit=run.commit, seq=1, created=EVIL, tags={START: EVIL}, by=EVIL)
        )
        session.store.add({key.key: data})
        session.store.add({f"runs/{made.head}-{START.replace('/', '')}{number}.json": EVIL.encode()})
        session.store.add({f"verdicts/{made.head}-{run.id}-{number:012x}.json": dumps({"schema": 1, "run": EVIL})})
    event = wrap(
        Register(version=1, run=EVIL, files={EVIL: EVIL}), model="wine", created=EVIL, actor=START, run_url=EVIL
    )
    first = dumps(replace(event, seq=1))
    head = session.log.append(log_of("wine"), None, first)
    served = Deploy(version=1, target=START, kind=EVIL, state=EVIL, reference=START, endpoint=EVIL, reason=EVIL)
    event = wrap(served, model="wine", created=EVIL, actor=START, run_url=EVIL)
    session.log.append(log_of("wine"), head, dumps(replace(event, seq=2, previous=digest(first))))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_no_command_shows_it_as_it_is(project: Project, number: int) -> None:
    ids = {"run": f"{2:032x}", "other": f"{3:032x}", "last": f"{1:032x}"}
    _check(project, [word.format(**ids) if word.startswith("{") else word for word in COMMANDS[number]])


@pytest.mark.slow
def test_a_few_commands(project: Project) -> None:
    for command in (
        ["fsck"],
        ["runs", "show", f"{2:032x}"],
        ["registry", "history", "wine"],
        ["runs", "list", "--all"],
    ):
        _check(project, command)


def _check(project: Project, command: list[str]) -> None:
    for env in ({}, {"GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": START}, {"TF_BUILD": "True"}):
        done = project.ciplug(*command, env=env, code=None)
        assert done.returncode in (0, 1, 2, 3), (command, done.returncode, done.stderr)
        for text in (done.stdout, done.stderr):
            shown = _without_annotations(text) if env else text
            found = STARTS_A_COMMAND.search(shown)
            assert not found, (command, env, shown[max(0, found.start() - 200) : found.end() + 200])
        assert "Traceback" not in done.stderr, (command, done.stderr)


def _without_annotations(text: str) -> str:
    """Without the lines that ciplug itself writes for the host, each one command with its words escaped."""
    ours = re.compile(
        r"^(::(notice|warning|error)( [\w=,%./ -]*)?::[^\n]*"
        r"|##vso\[task\.(logissue|setvariable|uploadsummary)\b[^\n]*)$",
        re.MULTILINE,
    )
    return ours.sub(lambda match: "" if "owned" not in match[0][:30] else match[0], text)


def test_every_command_is_walked() -> None:
    from ciplug.cli import COMMANDS as KNOWN

    assert set(KNOWN) - {command[0] for command in COMMANDS} == {"demo"}


def test_the_spool_and_the_files_of_a_checkout_may_be_hostile_too(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work", config=CONFIG + "artifacts: out\n")
    out = project.folder / "out"
    out.mkdir()
    (out / "::error::owned\x1b[2J").write_text("x")
    _check(project, ["run", "--", sys.executable, "train.py"])
