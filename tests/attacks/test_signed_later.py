"""Runs from before the key: an allowed signer signs them later, and nobody else; what is added after that needs a
signature, for every reader."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from ciplug.records.amendment import Amendment
from ciplug.records.canonical import digest
from ciplug.records.changes import Changes, fold
from ciplug.records.keys import amendment_object, run_key
from ciplug.records.run import Run
from ciplug.records.series import Series
from ciplug.steps.session import open_session
from ciplug.steps.sign import signed as with_signatures
from ciplug.steps.signers import judged_runs, signers_of
from ciplug.tracking.catalog import Catalog
from ciplug.tracking.run_objects import run_objects
from tests.attacks.attacker import STAMP, objects_of, run_of
from tests.attacks.conftest import Scene
from tests.attacks.test_signed import Key, make_key, place_of
from tests.project import git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen signs and verifies"),
]


@pytest.fixture
def key(scene: Scene) -> Key:
    return make_key(scene.folder, "ci")


@pytest.fixture
def before(scene: Scene, key: Key) -> str:
    """A run of main that was recorded and tagged, and then the team names a signer. Returns its id."""
    project = scene.project
    file = project.folder / "ciplug.yaml"
    file.write_text(file.read_text() + f"signers: {{ci: {key.public}}}\n")
    project.numbers({"accuracy": 0.86})
    project.commit("sign")
    project.push()
    run = project.train()
    project.ciplug("runs", "tag", run, "team=a")
    return run


def baseline(scene: Scene) -> str:
    """What a gate of a pull request says of its baseline."""
    project = scene.project
    if git(project.folder, "branch", "--show-current") != "feature":
        project.branch("feature", {"accuracy": 0.87})
        project.train()
    return project.ciplug("gate", code=None).stdout


def test_a_team_keeps_its_baselines_when_it_begins_to_sign(scene: Scene, key: Key, before: str) -> None:
    project = scene.project
    refused = project.ciplug("promote", "wine", "--to", "staging", env=key.env, code=1).stderr
    assert "no allowed signer has signed run" in refused and "ciplug runs sign" in refused
    assert "signed by: nobody who is allowed to" in project.ciplug("runs", "show", before).stdout
    said = project.ciplug("runs", "sign", before[:12], env=key.env).stderr
    assert f"run {before[:12]} (wine): signed by ci, 2 objects; accuracy=0.86" in said
    assert "signed by ci already" in project.ciplug("runs", "sign", before, env=key.env).stderr
    shown = scene.clone().ciplug("runs", "show", before).stdout
    assert "signed as it was then: 2 objects" in shown and "team: a" in shown and "signed by: ci\n" in shown
    assert project.json("runs", "show", before, "--json")["signed_by"] == "ci"
    project.ciplug("gate", env=key.env)
    project.ciplug("registry", "vouch", "wine", env=key.env)
    project.ciplug("promote", "wine", "--to", "staging", env=key.env)
    assert project.ciplug("verify", "wine@staging", "--fetch").returncode == 0
    assert "0.87 is 0.01 better than the baseline's 0.86" in baseline(scene)
    project.ciplug("compact")
    assert "0.87 is 0.01 better than the baseline's 0.86" in baseline(scene)
    assert scene.clone("checks").ciplug("fsck").stdout == ""


def as_withdrawn(scene: Scene, run: str) -> str:
    scene.project.ciplug("runs", "withdraw", run, "--reason", "wrong labels")
    return run


def of_a_fork(scene: Scene, run: str) -> str:
    scene.attacker.write(objects_of(run_of(scene.project.head, 7, context={"trusted": False})))
    return f"{7:032x}"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda s, r: "abcdef", "no run 'abcdef'"),
        (as_withdrawn, "wrong labels"),
        (of_a_fork, "recorded by a fork's job"),
    ],
)
def test_a_run_that_must_not_count_is_not_signed(
    scene: Scene, key: Key, before: str, prepare: Callable[[Scene, str], str], words: str
) -> None:
    done = scene.project.ciplug("runs", "sign", prepare(scene, before), env=key.env, code=2)
    assert words in done.stderr


def test_only_an_allowed_signer_signs(scene: Scene, key: Key, before: str) -> None:
    mallory = make_key(scene.folder, "mallory")
    for env in ({}, mallory.env):
        done = scene.project.ciplug("runs", "sign", before, env=env, code=2)
        assert "only an allowed signer signs runs" in done.stderr
    file = scene.project.folder / "ciplug.yaml"
    file.write_text(file.read_text().replace(f"signers: {{ci: {key.public}}}\n", ""))
    scene.project.commit("no signers")
    scene.project.push()
    assert "names no signer" in scene.project.ciplug("runs", "sign", before, env=key.env, code=2).stderr


Objects = dict[str, bytes]
RUN = run_of("c" * 40, 66, metrics={"accuracy": 0.5})
RECORD = run_key(RUN)


def signing(run: Run, key: Key | None, signs: dict[str, str] | None = None, **fields: str) -> Objects:
    """The amendment by which somebody signs a run."""
    whole = {one: digest(data) for one, data in objects_of(run).items()} if signs is None else signs
    made = Amendment(
        **{"run": run.id, "model": run.model, "commit": run.commit, "created": STAMP, **fields}, seq=1, signs=whole
    )
    of, data = amendment_object(made)
    return with_signatures(key.env if key else {}, {of.key: data}, trusted=True, repository="")


def changed(run: Run) -> Run:
    return replace(run, metrics={"accuracy": 0.4})


FORGED: dict[str, Callable[[Run, Key, Key], Objects]] = {
    "nobody": lambda run, ours, theirs: signing(run, None),
    "a stranger": lambda run, ours, theirs: signing(run, theirs),
    "another record": lambda run, ours, theirs: signing(changed(run), ours),
    "no digest": lambda run, ours, theirs: signing(run, ours, {run_key(run).key: ""}),
    "nothing": lambda run, ours, theirs: signing(run, ours, {}),
    "under another run": lambda run, ours, theirs: signing(
        replace(run, id="9" * 32), ours, {one: digest(data) for one, data in objects_of(run).items()}
    ),
    "with more beside": lambda run, ours, theirs: {**signing(run, ours), run_key(run).examples: b"x"},
    "a later amendment": lambda run, ours, theirs: {
        **signing(run, theirs),
        **signing(run, None, {}, name="x"),
    },
    "a signature of something else": lambda run, ours, theirs: {
        **signing(run, None),
        next(iter(signing(run, None))).replace(".json", ".sig"): next(
            data for one, data in signing(changed(run), ours).items() if one.endswith(".sig")
        ),
    },
    "signed, and cut off": lambda run, ours, theirs: {
        one: data[:-40] if one.endswith(".json") else data for one, data in signing(run, ours).items()
    },
}


def test_no_forged_signature_makes_a_baseline(scene: Scene, key: Key, before: str) -> None:
    """Ten ways to sign a low baseline on the commit of main, each a run of its own."""
    project, mallory = scene.project, make_key(scene.folder, "mallory")
    base, ids = project.head, []
    for number, forge in enumerate(FORGED.values()):
        run = replace(RUN, id=f"{number + 100:032x}", commit=base)
        ids.append(run.id)
        scene.attacker.write({**objects_of(run), **forge(run, key, mallory)})
    project.ciplug("runs", "sign", before, env=key.env)
    assert "0.87 is 0.01 better than the baseline's 0.86" in baseline(scene)
    for run_id in ids:
        refused = project.ciplug("promote", "wine", "--to", "staging", "--run", run_id, env=key.env, code=1)
        assert "no allowed signer has signed run" in refused.stderr


READERS = [
    ["runs", "list", "--json"],
    ["runs", "list", "--format", "csv", "--columns", "tags.team"],
    ["runs", "list", "--where", "tags.team = 'a'", "--format", "csv"],
    ["leaderboard", "--metric", "accuracy"],
    ["runs", "show", "ID", "--json"],
    ["compare", "--format", "csv"],
]


def test_every_reader_leaves_out_what_nobody_signed(scene: Scene, key: Key, before: str) -> None:
    """A stranger tags, deletes and withdraws a signed run, and gives it another metric: no output changes."""
    project = scene.project
    project.ciplug("runs", "sign", before, env=key.env)
    commands = [[before if word == "ID" else word for word in command] for command in READERS]
    expected = [project.ciplug(*command).stdout for command in commands]
    stranger = scene.clone()
    stranger.ciplug("runs", "tag", before, "team=mallory")
    stranger.ciplug("runs", "withdraw", before, "--reason", "mine")
    stranger.ciplug("runs", "delete", before)
    for name in ("before", "after"):
        reader = scene.clone(f"reader-{name}")
        for command, said in zip(commands, expected, strict=True):
            done = reader.ciplug(*command)
            assert (command, done.stdout) == (command, said)
            assert "no allowed signer has signed this amendment" in done.stderr or command[1] == "show"
        # Folded, they are columns of a segment.
        project.ciplug("compact")
    online = project.ciplug("runs", "list").stdout
    offline = project.ciplug("runs", "list", "--offline")
    assert offline.stdout == online and "no allowed signer has signed this amendment" in offline.stderr


def test_who_withdraws_first_without_the_key_keeps_nobody_from_it(scene: Scene, key: Key, before: str) -> None:
    project = scene.project
    project.ciplug("runs", "sign", before, env=key.env)
    scene.clone().ciplug("runs", "withdraw", before, "--reason", "x")
    said = project.ciplug("runs", "withdraw", before, "--reason", "wrong data", env=key.env).stderr
    assert "withdrawn" in said and "already" not in said
    assert "wrong data" in project.ciplug("promote", "wine", "--to", "staging", env=key.env, code=None).stderr


@pytest.mark.parametrize("change", ["hide a withdrawal", "make one up"])
def test_the_columns_of_the_catalog_decide_nothing(
    scene: Scene, key: Key, before: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may push the branch writes columns as they like, and nobody signs them."""
    project = scene.project
    project.ciplug("runs", "sign", before, env=key.env)
    if change == "hide a withdrawal":
        project.ciplug("runs", "withdraw", before, "--reason", "wrong data", env=key.env)
    session = open_session(cwd=project.folder)
    made_up = Changes() if change == "hide a withdrawal" else fold([withdrawal(before, project.head)])
    monkeypatch.setattr(Catalog, "changes", lambda self, key: made_up)
    runs = judged_runs(session)
    assert runs.catalog
    (run,) = [one for one in runs.load(runs.recorded()) if one.id == before]
    assert runs.changes(run).counts == (change == "make one up")


def withdrawal(run: str, commit: str) -> Amendment:
    return Amendment(run=run, model="wine", commit=commit, seq=9, created=STAMP, withdrawn=True)


def test_examples_that_were_exchanged_are_not_read(scene: Scene, key: Key, before: str) -> None:
    """A signed run that waits is pushed again, with its signature, and with other series."""
    project = scene.project
    run = run_of(project.head, 55, context={"branch": "main"})
    series = {"accuracy": Series(steps=(0, 1), values=(0.5, 0.9))}
    genuine = with_signatures(key.env, run_objects(run, series), trusted=True, repository=place_of(scene))
    other = run_objects(run, {"accuracy": Series(steps=(0, 1), values=(0.5, 0.1))})[run_key(run).series]
    scene.attacker.write({**genuine, run_key(run).series: other})
    session = open_session(cwd=project.folder)
    runs = judged_runs(session)
    (found,) = [one for one in runs.load(runs.recorded()) if one.id == run.id]
    assert signers_of(session).of_run(runs, found) == "ci"
    assert runs.series(found) == {}
    assert any("is not what was signed" in problem for problem in runs.problems.values())
