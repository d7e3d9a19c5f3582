"""`ciplug deploy`: what is served is what was promoted, the log says so, and whoever is killed leaves nothing else."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.errors import CiplugError, DeploymentRefused, NotDeployed, NotFound, PromotionRefused, TargetError
from ciplug.records.registry_deployment import BEGUN, DEPLOYED, FAILED
from ciplug.records.registry_event import Promote
from ciplug.registry import ledger
from ciplug.registry.events import wrap
from ciplug.steps.deployment.deploy import Done, deploy
from ciplug.steps.deployment.redeploy import redeploy
from ciplug.steps.deployment.status import State, statuses
from ciplug.steps.deployment.still_served import still_served
from ciplug.steps.evidence.attest import attest
from ciplug.steps.promotion import moves
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registry_checks import check_model
from ciplug.targets import model_pack, oci_registry
from ciplug.targets.base import Release
from ciplug.targets.oci import Oci
from ciplug.targets.oci_credentials import HOST, PASSWORD, USER
from tests.deployments import deployed, events, refused, state_of, team_with_two_versions
from tests.project import CONFIG, Project
from tests.servers.docker_registry import PASSWORD as SECRET
from tests.servers.docker_registry import USER as ROBOT
from tests.servers.docker_registry import Door, Registry, docker_registry
from tests.team import STAMP, Team

ANY = f"{model_pack.MANIFEST}, {model_pack.INDEX}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def door(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(oci_registry, "BACKOFF", 0)
    with Door(registry) as door:
        yield door


def repository_of(folder: Path) -> str:
    return f"{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}/wine"


@pytest.fixture
def team(tmp_path: Path, door: Door) -> Team:
    target = f"targets:\n  prod: {{kind: oci, repository: '{door.host}/{repository_of(tmp_path)}'}}\n"
    return team_with_two_versions(tmp_path, target, model_file="model.bin")


def served(team: Team, registry: Registry, tag: str = "production") -> bytes | None:
    """The manifest that a tag names."""
    status, data = registry.get(f"{repository_of(team.project.folder.parent)}/manifests/{tag}", ANY)
    return data if status == 200 else None


# What is deployed


def test_a_version_is_served_as_it_was_promoted_and_once_is_enough(team: Team, registry: Registry, door: Door) -> None:
    done = deployed(team, "models:/wine@production")
    manifest = served(team, registry)
    assert manifest and done.reference.endswith(f"@sha256:{hashlib.sha256(manifest).hexdigest()}")
    assert manifest == served(team, registry, "v1")
    assert model_pack.files_in(manifest) == {"model.bin": f"sha256:{hashlib.sha256(b'abc').hexdigest()}"}
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1)] and state_of(team) is State.SERVED
    assert check_model(team.session.refreshed(), "wine").problems == []
    door.seen.clear()
    again = deployed(team)
    assert again == done._replace(event=0) and events(team) == [(BEGUN, 1), (DEPLOYED, 1)]
    assert {one.method for one in door.seen} <= {"GET", "HEAD"}


def test_another_version_takes_its_place_and_a_rollback_brings_it_back(team: Team, registry: Registry) -> None:
    first = deployed(team)
    team.promote("production", version=2)
    assert state_of(team) is State.BEHIND
    second = deployed(team)
    assert "--to staging --version 1" in (refused(team, DeploymentRefused, "wine@v1").hint or "")
    manifest = json.loads(served(team, registry) or b"")
    kinds = {layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"] for layer in manifest["layers"]}
    assert kinds == {
        "README.md": "application/vnd.cncf.model.doc.v1.raw",
        "model.bin": "application/vnd.cncf.model.weight.v1.raw",
    }
    roll_back(team.session.refreshed(), "wine", "production", "it is slow")
    back = deployed(team)
    assert back.reference == first.reference != second.reference
    assert served(team, registry) == served(team, registry, "v1") != served(team, registry, "v2")
    assert events(team)[-1] == (DEPLOYED, 1) and state_of(team) is State.SERVED


def test_a_version_that_was_taken_out_of_use_and_is_served_is_named(team: Team, registry: Registry) -> None:
    deployed(team)
    assert still_served(moves.demote(team.session.refreshed(), "wine", version=1, to="none").model, 1) == [
        ("prod", "ciplug undeploy wine --from prod; when a version is in Production again: "
         "ciplug deploy models:/wine@production --to prod")
    ]  # fmt: skip
    assert state_of(team) is State.REVOKED
    roll_back(team.session.refreshed(), "wine", "production", "it is good", 1)
    assert state_of(team) is State.SERVED
    team.promote("production", version=2)
    deployed(team)
    model = moves.demote(team.session.refreshed(), "wine", start="production", to="none").model
    back = "ciplug rollback 'wine' --to production --reason TEXT --redeploy"
    assert still_served(model, 2) == [("prod", back)] and still_served(model, 1) == []
    moves.archive(team.session.refreshed(), "wine", 2)
    assert state_of(team) is State.REVOKED
    roll_back(team.session.refreshed(), "wine", "production", "it is slow")
    assert state_of(team) is State.BEHIND
    model = moves.yank(team.session.refreshed(), "wine", 2, "it leaks").model
    (found,) = statuses(team.session.refreshed(), "wine")
    assert found.state is State.REVOKED and found.problem == "it serves version 2, which was yanked: it leaks"
    assert found.remedy == still_served(model, 2)[0].remedy == "ciplug deploy models:/wine@production --to prod"
    deployed(team)
    assert state_of(team) is State.SERVED and still_served(model, 1) == []


def test_the_artifact_is_modelpacks_and_statements_refer_to_it(team: Team, registry: Registry) -> None:
    done = deployed(team)
    data = served(team, registry) or b""
    manifest = json.loads(data)
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    name = repository_of(team.project.folder.parent)
    config = json.loads(registry.get(f"{name}/blobs/{manifest['config']['digest']}")[1])
    assert config["modelfs"] == {"type": "layers", "diffIds": [layer["digest"] for layer in manifest["layers"]]}
    assert config["descriptor"]["name"] == "wine" and config["config"] == {}
    digest = done.reference.partition("@")[2]
    index = json.loads(registry.get(f"{name}/manifests/{digest.replace(':', '-')}", ANY)[1])
    made = attest(team.session.refreshed(), "wine@v1").documents
    found = {}
    for one in index["manifests"]:
        assert one["artifactType"] == "application/vnd.in-toto+json"
        referrer = json.loads(registry.get(f"{name}/manifests/{one['digest']}", ANY)[1])
        assert referrer["subject"] == {"mediaType": model_pack.MANIFEST, "digest": digest, "size": len(data)}
        (layer,) = referrer["layers"]
        title = layer["annotations"]["org.opencontainers.image.title"]
        found[title] = registry.get(f"{name}/blobs/{layer['digest']}")[1]
    assert found == {name: made[name] for name in ("provenance.intoto.json", "verdict.intoto.json")}
    (envelope,) = model_pack.statement_packs(model_pack.Blob("x", data), {"verdict.intoto.dsse.json": b"{}"})
    assert json.loads(envelope.manifest.data)["artifactType"] == "application/vnd.dsse.envelope.v1+json"


def test_a_registry_that_lists_statements_itself_gets_no_tag_for_it(team: Team, registry: Registry, door: Door) -> None:
    door.lists_referrers = True
    deployed(team)
    assert registry.tags(repository_of(team.project.folder.parent)) == ["production", "v1"]


@pytest.mark.slow
def test_the_commands_of_deploy_md(registry: Registry, tmp_path: Path) -> None:
    """Version 1, then version 2, then what the page says."""
    text = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    block = text.partition("run: by tests/integration/test_deploy.py -->\n```bash\n")[2].partition("```")[0]
    lines = block.splitlines()
    repository = f"{registry.host}/{repository_of(tmp_path)}"
    target = f"{{kind: oci, repository: '{repository}'}}"
    config = CONFIG.replace("model: wine", "model: wine-quality") + f"targets: {{prod: {target}}}\n"
    project = Project.with_remote(tmp_path, config=config)
    for accuracy in (0.85, 0.86):
        project.numbers({"accuracy": accuracy})
        project.commit("train")
        project.push()
        project.train()
        project.ciplug("gate")
        for stage in ("staging", "production"):
            project.ciplug("promote", "wine-quality", "--to", stage)
        (first, *_) = lines
        done = project.ciplug(*shlex.split(first)[1:])
    assert "serves wine-quality version 2" in done.stderr
    assert done.stdout.startswith(f"{repository}@sha256:")
    for line in lines:
        said = project.ciplug(*shlex.split(line)[1:])
    assert "serves wine-quality version 1" in said.stderr
    (found,) = project.json("deployments", "status", "--json")
    assert (found["state"], found["serves"]["version"], found["holder"]) == ("served", 1, 1)
    (listed,) = project.json("deployments", "list", "--json")
    assert listed["last"] == found["last"] and listed["last"]["actor"] == "test@example.com"
    history = project.ciplug("registry", "history", "wine-quality").stdout
    assert "deployed at prod" in history and "deploying at prod" in history
    project.ciplug("registry", "verify", "wine-quality")
    said = project.ciplug("demote", "wine-quality", "--from", "production", "--to", "none")
    assert "'prod' still serves wine-quality version 1" in said.stderr and "ciplug deploy" in said.stderr
    assert "no target 'prd'" in project.ciplug("deploy", "wine-quality@v1", "--to", "prd", code=2).stderr


# What is not


def _bytes_changed(team: Team) -> None:
    (kept,) = (team.project.folder.parent / "store" / "files").rglob("ba7816bf8f01*")
    kept.write_bytes(b"abd")


def _verdict_missing(team: Team) -> None:
    log = team.session.refreshed().log
    payload = Promote(
        version=1, run="1".zfill(32), stage="Production", verdict="verdicts/none", verdict_digest="sha256:0"
    )
    ledger.append(log, ledger.read(log, "wine"), wrap(payload, model="wine", created=STAMP))


def _yank_by_hand(team: Team) -> None:
    team.promote("production", version=2)
    moves.yank(team.session.refreshed(), "wine", 1, "leaks")


@pytest.mark.parametrize(
    ("change", "name", "reason", "code"),
    [
        (lambda team: None, "wine@v2", NotDeployed.NO_STAGE, 1),
        (_yank_by_hand, "wine@v1", NotDeployed.YANKED, 1),
        (_bytes_changed, "wine@production", NotDeployed.BROKEN_CHAIN, 3),
        (_verdict_missing, "wine@production", NotDeployed.BROKEN_CHAIN, 3),
    ],
)
def test_what_was_not_promoted_is_not_deployed(
    team: Team, registry: Registry, change: Callable[[Team], None], name: str, reason: NotDeployed, code: int
) -> None:
    change(team)
    refusal = refused(team, CiplugError, name)
    if isinstance(refusal, DeploymentRefused):
        assert refusal.reason is reason
    assert refusal.exit_code == code
    assert events(team) == [] and served(team, registry) is None and state_of(team) is State.EMPTY


def test_a_branch_cannot_direct_a_deployment_elsewhere(team: Team, door: Door) -> None:
    file = team.project.folder / "ciplug.yaml"
    file.write_text(file.read_text().replace("prod:", "mine:"))
    with pytest.raises(NotFound, match="has no target 'mine'"):
        deploy(team.session.refreshed(), "wine@production", "mine")
    fork = team.session.refreshed()
    for context in (replace(fork.context, trusted=False), replace(fork.context, pull_request=1)):
        with pytest.raises(PromotionRefused):
            deploy(replace(fork, context=context), "wine@production", "prod")
    assert door.seen == []


def test_what_others_have_pushed_is_not_replaced(team: Team, registry: Registry) -> None:
    name = repository_of(team.project.folder.parent)
    repository = oci_registry.Repository(registry.host, name, {})
    release = Release(
        model="wine", version=1, stage="Production", digest="x", files={}, folder=Path(), created="2026-11-23"
    )
    config, *_ = model_pack.pack(release, {}).blobs
    repository.put_blob(config.digest, len(config.data), lambda: io.BytesIO(config.data))
    repository.put_manifest(model_pack.pack(release, {}).manifest, "v1")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT
    other = model_pack.pack(replace(release, model="beer"), {})
    repository.put_blob(other.blobs[0].digest, len(other.blobs[0].data), lambda: io.BytesIO(other.blobs[0].data))
    repository.put_manifest(other.manifest, "production")
    assert refused(team, DeploymentRefused).reason is NotDeployed.OTHER_CONTENT
    assert events(team)[-1] == ("failed", 1) and state_of(team) is State.OTHER


def test_a_tag_that_somebody_moved_is_noticed_and_put_right(team: Team, registry: Registry, door: Door) -> None:
    deployed(team)
    team.promote("production", version=2)
    deployed(team)
    first = served(team, registry, "v1")
    repository = oci_registry.Repository(registry.host, repository_of(team.project.folder.parent), {})
    repository.put_manifest(model_pack.Blob(model_pack.MANIFEST, first or b""), "production")
    assert state_of(team) is State.OTHER
    deployed(team)
    assert state_of(team) is State.SERVED and served(team, registry) == served(team, registry, "v2")


# Trouble


@pytest.mark.parametrize("fault", ["500", "before", "after", "half"])
def test_a_request_that_fails_is_sent_again(team: Team, registry: Registry, door: Door, fault: str) -> None:
    """Every fifth request of a push."""
    door.plan.faults = dict.fromkeys(range(2, 80, 5), fault)
    deployed(team)
    assert state_of(team) is State.SERVED and events(team) == [(BEGUN, 1), (DEPLOYED, 1)]


def test_a_registry_that_is_gone_leaves_a_deployment_to_go_on_with(team: Team, registry: Registry, door: Door) -> None:
    deployed(team)
    team.promote("production", version=2)
    before, tries = len(door.seen), 0
    while True:
        # One request more than last time is answered.
        done = len(door.seen) + tries
        door.plan.faults = dict.fromkeys(range(done + 1, done + 200), "500")
        try:
            deployed(team)
            break
        except TargetError as problem:
            assert "ciplug deploy models:/wine@production --to prod" in (problem.hint or "")
        finally:
            door.plan.faults = {}
        tries += 3
        assert served(team, registry) in (served(team, registry, "v1"), served(team, registry, "v2"))
    assert before and tries > 9
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1), (BEGUN, 2), (DEPLOYED, 2)]
    assert served(team, registry) == served(team, registry, "v2") and state_of(team) is State.SERVED


def held_up(
    monkeypatch: pytest.MonkeyPatch, step: str, meanwhile: Callable[[], object], *, before: bool = False
) -> None:
    """Have the next call of a step of the target be held up while something else is done."""
    original = getattr(Oci, step)

    def slow(self: Oci, release: Release) -> None:
        monkeypatch.setattr(Oci, step, original)
        if before:
            meanwhile()
        original(self, release)
        if not before:
            meanwhile()

    monkeypatch.setattr(Oci, step, slow)


def test_who_comes_late_does_not_replace_a_later_deployment(
    team: Team, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later() -> None:
        team.promote("production", version=2)
        deployed(team)

    held_up(monkeypatch, "place", later)
    assert refused(team, DeploymentRefused).reason is NotDeployed.NO_STAGE
    assert served(team, registry) == served(team, registry, "v2") and state_of(team) is State.SERVED


def test_who_hangs_in_the_switch_says_so_and_the_state_shows_it(
    team: Team, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry has no compare-and-set for tags."""

    def later() -> None:
        team.promote("production", version=2)
        deployed(team)

    held_up(monkeypatch, "switch", later, before=True)
    assert refused(team, DeploymentRefused).reason is NotDeployed.SUPERSEDED
    assert served(team, registry) == served(team, registry, "v1") and state_of(team) is State.OTHER
    deployed(team)
    assert served(team, registry) == served(team, registry, "v2") and state_of(team) is State.SERVED


def test_a_target_that_answers_otherwise_after_the_switch_ends_the_deployment(
    team: Team, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployed(team)
    team.promote("production", version=2)
    repository = oci_registry.Repository(registry.host, repository_of(team.project.folder.parent), {})
    before = repository.manifest(first.reference.partition("@")[2])
    assert before
    held_up(monkeypatch, "switch", lambda: repository.put_manifest(before, "production"))
    refusal = refused(team, DeploymentRefused)
    assert refusal.reason is NotDeployed.OTHER_CONTENT and "deploy again" in refusal.hint
    assert events(team)[-2:] == [(BEGUN, 2), (FAILED, 2)] and state_of(team) is State.BEHIND
    deployed(team)
    assert events(team)[-2:] == [(BEGUN, 2), (DEPLOYED, 2)] and state_of(team) is State.SERVED


def test_two_jobs_with_the_same_version_are_no_rivals(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    held_up(monkeypatch, "place", lambda: deployed(team))
    done = deployed(team)
    assert events(team) == [(BEGUN, 1), (DEPLOYED, 1)] and deployed(team) == done._replace(event=0)


def test_a_redeployment_goes_on_after_a_target_that_fails(team: Team, registry: Registry, door: Door) -> None:
    assert list(redeploy(team.session.refreshed(), "wine", "Production")) == []
    deployed(team)
    team.promote("production", version=2)
    assert list(redeploy(team.session.refreshed(), "wine", "Staging")) == []
    door.plan.faults = dict.fromkeys(range(len(door.seen) + 1, len(door.seen) + 50), "500")
    (problem,) = redeploy(team.session.refreshed(), "wine", "Production")
    assert isinstance(problem, TargetError) and "ciplug deploy" in (problem.hint or "")
    door.plan.faults = {}
    (done,) = redeploy(team.session.refreshed(), "wine", "Production")
    assert isinstance(done, Done) and done.version == 2 and state_of(team) is State.SERVED


# Credentials


def test_a_registry_with_a_password_gets_the_one_that_is_for_it(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with docker_registry(tmp_path / "closed", password=True) as closed:
        name = repository_of(tmp_path)
        secret = base64.b64encode(f"{ROBOT}:{SECRET}".encode()).decode()
        config = {"auths": {closed.host: {"auth": secret}, "other.example.com": {"auth": "eDp5"}}}
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "config.json").write_text(json.dumps(config))
        blob = model_pack.Blob("x", b"content")
        for env, is_let_in in (
            ({}, False),
            ({USER: ROBOT, PASSWORD: SECRET}, False),
            ({USER: ROBOT, PASSWORD: SECRET, HOST: "other.example.com"}, False),
            ({USER: ROBOT, PASSWORD: SECRET, HOST: closed.host}, True),
            ({"DOCKER_CONFIG": str(tmp_path / "docker")}, True),
        ):
            repository = oci_registry.Repository(closed.host, name, {"HOME": str(tmp_path), **env})
            if is_let_in:
                repository.put_blob(blob.digest, len(blob.data), lambda: io.BytesIO(blob.data))
                assert repository.has_blob(blob.digest)
                continue
            with pytest.raises(TargetError, match="401") as caught:
                repository.has_blob(blob.digest)
            assert "docker login" in (caught.value.hint or "")


def test_a_token_goes_to_the_registry_of_the_target_alone(team: Team, registry: Registry, door: Door) -> None:
    door.token = "good"
    env = {USER: ROBOT, PASSWORD: SECRET, HOST: door.host}
    session = team.session.refreshed()
    deploy(replace(session, env={**session.env, **env}), "wine@production", "prod")
    basic = f"Basic {base64.b64encode(f'{ROBOT}:{SECRET}'.encode()).decode()}"
    assert {one.authorization for one in door.seen if one.path.startswith("/token")} == {basic}
    assert {one.authorization for one in door.seen if not one.path.startswith("/token")} == {None, "Bearer good"}
    with Door(registry) as elsewhere:
        door.upload_host = elsewhere.host
        team.promote("production", version=2)
        session = team.session.refreshed()
        deploy(replace(session, env={**session.env, **env}), "wine@production", "prod")
        assert elsewhere.seen and {one.authorization for one in elsewhere.seen} == {None}
        # A registry on loopback, which is asked without TLS, may not name a service elsewhere without TLS.
        door.realm, door.token = f"http://{elsewhere.host}/token", "new"
        with pytest.raises(TargetError, match="does not support"):
            deploy(replace(session, env={**session.env, **env}), "wine@production", "prod")
        assert {one.authorization for one in elsewhere.seen} == {None}
