"""Whatever somebody pushes, gates go on, name it, and `fsck --repair` sets it aside."""

from __future__ import annotations

import json

import pytest

from ciplug.records.canonical import dumps
from tests.attacks.attacker import BRANCH, KEEP, objects_of, run_of
from tests.attacks.conftest import Scene

pytestmark = pytest.mark.slow

NESTED = b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"\n"
RUN = "1" * 32


def record(commit: str, number: int = 1, /, **fields: object) -> bytes:
    (data,) = objects_of(run_of(commit, number)).values()
    return dumps({**json.loads(data), **fields})


def odd_objects(head: str, run: str) -> dict[str, dict[str, bytes]]:
    """Name → one write. `run` is a genuine run on the commit `head`."""
    provenance = json.loads(record(head))["provenance"]
    memory, of_memory = b'"provenance":{', b'"provenance":{"peak_memory_bytes":1' + b"0" * 400 + b","
    runs = {
        "a nested run": NESTED,
        "many lists": b"[" + b"[]," * 300_000 + b"[]]\n",
        "a number too large": record(head, 102).replace(memory, of_memory),
        "a number too large for a metric": record(head, 103).replace(b"0.99", b"1" + b"0" * 400),
        "a number of 10,000 digits": record(head, 104).replace(b"0.99", b"1" * 10_000),
        "another type": record(head, 105, metrics=[1]),
        "half a pair": record(head, 106).replace(b'"wine"', b'"\\ud800"'),
        "a time of no calendar": record(head, 107, started="9999-99-99T99:99:99Z", ended="never"),
        "a schema to come": record(head, 108, schema=99, metrics="of a new shape"),
        "odd paths": record(head, 109, provenance={**provenance, "dirty_files": ["\x1b[31m", "::error::x"]}),
        "a parent that is itself": record(head, 110, parent=f"{110:032x}"),
    }
    others = {
        "an odd key": ("runs/a-b.json", b"{}\n"),
        "an odd commit": ("runs/--upload-pack=x-1.json", record(head, commit="--upload-pack=x", id="1")),
        "an odd commit in its key alone": (f"runs/HEAD~1-{RUN}.json", record(head)),
        "no ending": (f"runs/{head}-x", b"{}\n"),
        "an amendment of nothing": ("amend/a-b", b"{}\n"),
        "an odd verdict": (f"verdicts/{head}-{run}-1.json", b"[]\n"),
        "a nested verdict": (f"verdicts/{head}-{run}-{'0' * 12}.json", NESTED),
        "series": (f"runs/{head}-{run}.series", b"\0\xff\0"),
        "examples": (f"runs/{head}-{run}.examples", b"\0\xff\0"),
        "inputs": (f"runs/{head}-{run}.inputs", NESTED),
    }
    return {
        **{name: {f"runs/{head}-{n:032x}.json": data} for n, (name, data) in enumerate(runs.items(), 100)},
        **{name: {key: data} for name, (key, data) in others.items()},
    }


NAMES = list(odd_objects("0" * 40, RUN))


@pytest.fixture
def run(scene: Scene) -> str:
    """A genuine run that waits, on a commit of its own."""
    scene.project.numbers({"accuracy": 0.9})
    scene.project.commit("better")
    scene.project.push()
    return scene.project.train()


@pytest.mark.slow
@pytest.mark.parametrize("folded", [False, True], ids=["pending", "folded"])
@pytest.mark.parametrize("names", [NAMES[at::4] for at in range(4)], ids=["1", "2", "3", "4"])
def test_gates_go_on_beside_what_nobody_can_read(scene: Scene, run: str, names: list[str], folded: bool) -> None:
    project = scene.project
    for name in names:
        scene.attacker.write(odd_objects(project.head, run)[name])
    if folded:
        project.ciplug("compact", code=None)
    gate = project.ciplug("gate", "--run", run, code=None)
    assert gate.returncode == 0, gate.stdout + gate.stderr
    for command in (("gate",), ("report",), ("runs", "list"), ("compare",), ("registry", "show", "wine")):
        done = project.ciplug(*command, code=None)
        assert "Traceback" not in done.stderr, (command, done.stderr)
        assert done.returncode in (0, 1), (command, done.stdout, done.stderr)
    fsck = project.ciplug("fsck", code=None)
    assert "Traceback" not in fsck.stderr


def test_what_cannot_be_read_is_set_aside(scene: Scene, run: str) -> None:
    project = scene.project
    wanted = ("an odd key", "a nested run", "an odd verdict", "series")
    odd = {k: v for name in wanted for k, v in odd_objects(project.head, run)[name].items()}
    # It may be a withdrawal, so the run does not count until somebody has looked at it.
    odd[f"amend/{project.head}-{run}-1-00000000.json"] = NESTED
    odd[f"amend/{project.head}-{run}-x.json"] = b"{}\n"
    for key, data in odd.items():
        scene.attacker.write({key: data})
    misnamed = scene.attacker.write(objects_of(run_of(project.head, 77)), name="f" * 40)
    found = project.ciplug("fsck", code=3).stdout
    for name in (*odd, misnamed):
        assert f"problem: {name}: " in found
    repaired = project.ciplug("fsck", "--repair").stdout
    for name in (*odd, misnamed):
        assert f"repaired: {name}: " in repaired, repaired
    assert project.ciplug("fsck").stdout == ""
    assert misnamed not in scene.attacker.refs()
    gate = project.ciplug("gate")
    assert "cannot be read" not in gate.stdout + gate.stderr
    # Nothing is lost: what was set aside is still in the store.
    files = scene.attacker.fetch(BRANCH)
    aside = [scene.attacker.read(oid) for path, oid in files.items() if path.startswith("new/aside/")]
    assert {json.loads(data)["key"] for data in aside} >= set(odd)


def test_a_damaged_record_stops_no_retention(scene: Scene, run: str) -> None:
    project = scene.project
    (project.folder / "ciplug.yaml").write_text((project.folder / "ciplug.yaml").read_text() + "keep: {last: 1}\n")
    scene.attacker.write(odd_objects(project.head, run)["an odd verdict"])
    refused = project.ciplug("compact", code=2)
    assert "ciplug fsck --repair" in refused.stderr
    project.ciplug("fsck", "--repair")
    project.ciplug("compact")


def test_a_registry_that_cannot_be_read_stops_no_gate(scene: Scene, run: str) -> None:
    files: dict[str, bytes | str] = dict(scene.attacker.fetch(BRANCH))
    files["registry/wine/000002.json"] = NESTED
    scene.attacker.push(scene.attacker.branch_commit(files), BRANCH, KEEP)
    project = scene.project
    gate = project.ciplug("gate")
    assert "registry" in gate.stdout + gate.stderr
    assert "nested too deeply" in project.ciplug("registry", "show", "wine", code=3).stderr
    assert "nested too deeply" in project.ciplug("promote", "wine", "--to", "staging", code=3).stderr
    # One model's log stops no other model's.
    assert "other" not in project.ciplug("registry", "list", code=3).stdout
