"""`ciplug smoke-test`: a real server is asked for a recorded sample, and each outcome is in the log by its name."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.cli import main
from ciplug.errors import ConfigError, DeploymentRefused, NotDeployed, PromotionRefused
from ciplug.records.examples import Examples, encode
from ciplug.records.keys import run_key
from ciplug.records.registry_deployment import DEPLOYED, Outcome
from ciplug.steps.deployment.bring_back import bring_back
from ciplug.steps.deployment.deploy import deploy
from ciplug.steps.deployment.smoke_test import SmokeResult, smoke_test
from ciplug.steps.deployment.undeploy import Ended, undeploy
from ciplug.steps.registered_model import read_model
from ciplug.steps.registry_checks import check_model
from tests.servers.program import free_ports
from tests.team import Team, team_in

SERVER = """\
import http.server, json, pathlib, sys
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
model = json.loads((folder / "model.json").read_text())

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["dataframe_split"]
        rows = [dict(zip(asked["columns"], row)) for row in asked["data"]]
        if model.get("nonsense"):
            return self.wfile.write(b"nonsense\\r\\n\\r\\n")
        if model.get("fails"):
            return self.reply(model["fails"], {"error": f"bad rows, {self.headers['Authorization']}"})
        answers = [row["alcohol"] * model["weight"] for row in rows]
        if model.get("label"):
            answers = ["red" if one > model["label"] else "white" for one in answers]
        if "left_out" in model:
            answers = answers[model["left_out"]:] or answers * 2
        self.reply(200, {"predictions": answers} if not model.get("odd") else "no json"[:0] or "<html>")

    def reply(self, status, value):
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
ALCOHOL = (9.5, 10.25, 12.0)
NOTHING = b'{"id": "7", "inputs": {"alcohol": 9}, "prediction": null}\n'


def sample(weight: float) -> bytes:
    rows = [{"id": str(n), "inputs": {"alcohol": a}, "prediction": a * weight} for n, a in enumerate(ALCOHOL)]
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    team = team_in(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    settings(team, "sample: sample.jsonl, patience: 2")
    yield team
    for file in (tmp_path / "served").glob("servers/*/pid"):
        try:
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)
        except ProcessLookupError:
            continue


def settings(team: Team, smoke: str) -> None:
    folder = team.project.folder.parent
    if not (folder / "ports").exists():
        (folder / "ports").write_text(str(free_ports(2)))
    team.policy(
        f"targets:\n  onprem:\n    kind: local\n    folder: {folder / 'served'}\n"
        f"    ports: {(folder / 'ports').read_text()}\n    smoke_test: {{{smoke}}}\n"
        f"    serve: {sys.executable} {folder / 'server.py'} {{files}} {{port}}\n    patience: 10\n"
    )


def hold(team: Team, model: dict[str, object], recorded: bytes | None = None, examples: Examples | None = None) -> None:
    """A new version in production that serves by this model, and wrote this sample."""
    files = [team.keep(json.dumps(model).encode(), "model.json")]
    run = team.run(artifacts=(*files, *([team.keep(recorded, "sample.jsonl")] if recorded is not None else [])))
    if examples:
        team.session.store.add({run_key(run).examples: encode(examples)})
    team.verdict(run)
    version = team.promote(run=run.id).version
    team.promote("production", version=version)


def deployed(team: Team, model: dict[str, object], recorded: bytes | None = None) -> SmokeResult:
    hold(team, model, sample(2) if recorded is None else recorded)
    deploy(team.session.refreshed(), "wine@production", "onprem")
    return smoke_test(team.session.refreshed(), "wine@production", "onprem")


def logged(team: Team) -> str | None:
    model = read_model(team.session.refreshed(), "wine")
    assert check_model(team.session.refreshed(), "wine").problems == []
    tested = model.deployed["onprem"].tested
    return tested.outcome if tested else None


@pytest.mark.slow
def test_each_outcome_is_named_in_the_log(team: Team) -> None:
    passed = deployed(team, {"weight": 2.0000001})
    assert (passed.outcome, passed.rows, passed.equal, passed.exit_code) == (Outcome.PASSED, 3, 3, 0)
    assert logged(team) == "passed"
    cases: list[tuple[dict[str, object], bytes, Outcome, str]] = [
        ({"weight": 2.1}, sample(2), Outcome.MISMATCH, "3 of 3 answers differ"),
        ({"weight": 2, "left_out": 1}, sample(2), Outcome.FEWER_ANSWERS, "2 answers to 3 rows"),
        ({"weight": 2, "left_out": 3}, sample(2), Outcome.MORE_ANSWERS, "6 answers to 3 rows"),
        ({"weight": 2, "fails": 400}, sample(2), Outcome.REFUSED, "status 400: "),
        ({"weight": 2, "fails": 503}, sample(2), Outcome.NO_ANSWER, "does not answer within 2 s: status 503"),
        ({"weight": 2, "nonsense": 1}, sample(2), Outcome.NO_ANSWER, "does not answer within 2 s: nonsense"),
        ({"weight": 2}, sample(2) + NOTHING, Outcome.NOT_COMPARABLE, "1 recorded prediction of sample.jsonl cannot"),
        ({"weight": 3}, sample(2) + NOTHING, Outcome.MISMATCH, "3 of 4 answers differ"),
        ({"weight": 2, "odd": 1}, sample(2), Outcome.UNREADABLE, "no JSON with predictions: <html>"),
        ({"weight": 2}, b'{"id": "1", "inputs": {"alcohol": 9}}\n', Outcome.NO_SAMPLE, "no column of predictions"),
        ({"weight": 2}, b"not json\n", Outcome.NO_SAMPLE, "sample.jsonl"),
    ]
    for model, recorded, outcome, words in cases:
        tested = deployed(team, model, recorded)
        assert (tested.outcome, tested.exit_code) == (outcome, 1) and words in str(tested.reason), tested
        assert logged(team) == outcome.value
    hold(team, {"weight": 2}, sample(2))
    with pytest.raises(DeploymentRefused) as refused:
        smoke_test(team.session.refreshed(), "wine@production", "onprem")
    assert refused.value.reason is NotDeployed.NOT_SERVED and "ciplug deploy" in str(refused.value.hint)


def test_a_dataset_and_the_recorded_examples_are_a_sample_too(team: Team) -> None:
    settings(team, "sample: test.csv, inputs: [alcohol], rows: 2")
    text = "id,alcohol,label\na,9.5,red\nb,8,white\nc,1,white\n"
    (team.project.folder / "test.csv").write_text(text)
    team.project.commit("data")
    team.session = team.session.refreshed()
    ids, answers = ["a", "b", "c"], ["red", "white", "red"]
    examples = Examples(source="test.csv", ids=ids, labels=answers, predictions=answers)
    run = team.run(
        artifacts=(team.keep(json.dumps({"weight": 2, "label": 17}).encode(), "model.json"),),
        datasets=(replace(team.keep(text.encode(), "test.csv"), store=None),),
    )
    team.session.store.add({run_key(run).examples: encode(examples)})
    team.verdict(run)
    team.promote(run=run.id)
    team.promote("production", version=1)
    deploy(team.session.refreshed(), "wine@production", "onprem")
    tested = smoke_test(team.session.refreshed(), "wine@production", "onprem")
    assert (tested.outcome, tested.rows) == (Outcome.PASSED, 2), tested
    (team.project.folder / "test.csv").write_text(text.replace("9.5", "9.6"))
    tested = smoke_test(team.session.refreshed(), "wine@production", "onprem")
    assert tested.outcome is Outcome.NO_SAMPLE and "is not the one that was recorded" in str(tested.reason)


@pytest.mark.slow
def test_a_version_that_answers_otherwise_is_rolled_back(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(team.project.folder)

    def call(*words: str) -> tuple[int, str]:
        code = main([*words, "--to", "onprem", "--store", team.session.store_uri])
        return code, capsys.readouterr().err

    test = ("deploy", "models:/wine@production", "--smoke-test", "--roll-back")
    hold(team, {"weight": 3}, sample(2))
    code, said = call(*test)
    assert code == 1 and "3 of 3 answers differ" in said and "'onprem' serves wine version 1 no longer" in said, said
    store = ("wine", "--store", team.session.store_uri)
    assert main(["deployments", "list", *store]) == 0
    assert " mismatch (v1) " in capsys.readouterr().out
    assert main(["registry", "history", *store]) == 0
    assert "row '0': recorded 19.0, answered 28.5" in capsys.readouterr().out
    hold(team, {"weight": 2}, sample(2))
    code, said = call(*test)
    assert code == 0 and "smoke test of wine version 2 at 'onprem': passed: 3 answers as recorded" in said, said
    hold(team, {"weight": 3}, sample(2))
    code, said = call(*test)
    assert code == 1 and "mismatch" in said and "'onprem' serves wine version 2" in said, said
    settings(team, "sample: sample.jsonl, patience: 1")
    hold(team, {"weight": 2, "nonsense": 1}, sample(2))
    code, said = call(*test)
    assert code == 1 and "no answer" in said and "'onprem' serves wine version 2" in said, said
    # Without a sample whose answers can be compared, or with a token that cannot be sent, nothing is changed.
    hold(team, {"weight": 3})
    code, said = call(*test)
    assert code == 1 and "sample.jsonl was not recorded with run" in said, said
    hold(team, {"weight": 2}, sample(2) + NOTHING)
    code, said = call(*test)
    assert code == 1 and "1 recorded prediction of sample.jsonl cannot be compared" in said and "'7': None" in said
    monkeypatch.setenv("CIPLUG_ENDPOINT_TOKEN", "hunter2\nhunter2")
    code, said = call(*test)
    assert code == 2 and "line break" in said and "hunter2" not in said, said
    model = read_model(team.session.refreshed(), "wine")
    assert (model.deployed["onprem"].serves or model.deployed["onprem"].last).version == 2
    assert main(["deployments", "list", "--store", team.session.store_uri]) == 0
    assert " no answer (v4) " in capsys.readouterr().out


@pytest.mark.slow
def test_what_another_has_deployed_meanwhile_is_not_ended(team: Team) -> None:
    tested = deployed(team, {"weight": 3})
    assert tested.outcome is Outcome.MISMATCH
    team.session = team.session.refreshed()
    undeploy(team.session, "wine", "onprem")
    deploy(team.session.refreshed(), "wine@production", "onprem")
    with pytest.raises(DeploymentRefused) as refused:
        list(bring_back(team.session.refreshed(), tested))
    assert refused.value.reason is NotDeployed.SUPERSEDED and refused.value.hint
    served = read_model(team.session.refreshed(), "wine").deployed["onprem"]
    assert served.last.state == DEPLOYED and served.serves
    again = smoke_test(team.session.refreshed(), "wine@production", "onprem")
    assert [type(one) for one in bring_back(team.session.refreshed(), again)] == [Ended]


def test_who_may_not_deploy_may_not_test(team: Team) -> None:
    hold(team, {"weight": 2}, sample(2))
    fork = team.session.refreshed()
    with pytest.raises(PromotionRefused):
        smoke_test(replace(fork, context=replace(fork.context, trusted=False)), "wine@production", "onprem")
    team.policy("targets: {prod: {kind: oci, repository: 'localhost/wine', smoke_test: {sample: sample.jsonl}}}\n")
    with pytest.raises(DeploymentRefused):
        smoke_test(team.session.refreshed(), "wine@production", "prod")
    team.policy("targets: {prod: {kind: oci, repository: 'localhost/wine'}}\n")
    with pytest.raises(ConfigError, match="has no smoke test"):
        smoke_test(team.session.refreshed(), "wine@production", "prod")
