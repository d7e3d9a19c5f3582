"""Whoever may push any ref pushes very much: readers stay within bounds, and name what they pass over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ciplug import forged_signature, signing
from ciplug.errors import StoreError
from ciplug.steps import signers
from ciplug.steps.session import open_session
from ciplug.stores.git import files_view, pending, restore, segments, series, view
from ciplug.stores.git.cached_remote import CachedRemote
from ciplug.stores.git.content import FORMAT
from tests.attacks.attacker import BRANCH, KEEP, objects_of, run_of
from tests.attacks.conftest import Scene
from tests.attacks.test_signed import make_key

SERIES = "refs/heads/ciplug-series"
KEY = "runs/{commit}-{number:032x}.{ending}"


def names_of(scene: Scene, ending: str, count: int = 1, number: int = 700) -> list[str]:
    return [KEY.format(commit=scene.project.head, number=number + at, ending=ending) for at in range(count)]


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can exceed quickly."""
    monkeypatch.setattr(pending, "SMALL", 10_000)
    monkeypatch.setattr(pending, "RECORD_MOST", 100_000)
    monkeypatch.setattr(pending, "BESIDE_MOST", 200_000)
    monkeypatch.setattr(pending, "TOTAL_MOST", 300_000)
    monkeypatch.setattr(pending, "BESIDE_TOTAL_MOST", 300_000)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "series", "sig"])
def test_an_object_that_is_too_large_is_neither_fetched_nor_folded(scene: Scene, smaller: None, ending: str) -> None:
    (huge,) = names_of(scene, ending)
    genuine = objects_of(run_of(scene.project.head, 1))
    ref = scene.attacker.write({huge: bytes(range(256)) * 4_000})
    scene.attacker.write(genuine)
    store = open_session(cwd=scene.project.folder).store
    assert set(store.read([huge, *genuine])) == set(genuine)
    assert any(huge in note and "is not read" in note for note in store.notes), store.notes
    cache = sum(file.stat().st_size for file in (scene.project.folder / ".git/ciplug").rglob("*") if file.is_file())
    assert cache < 500_000
    (problem,) = [one for one in store.check() if huge in one.where]
    assert ref in problem.what
    assert store.compact() == 1
    assert ref in scene.attacker.refs() and not any(huge in path for path in scene.attacker.fetch(BRANCH))


@pytest.mark.slow
def test_many_large_records_are_bounded_as_a_whole_and_small_ones_come_first(scene: Scene, smaller: None) -> None:
    large = names_of(scene, "json", 8)
    for at, key in enumerate(large):
        scene.attacker.write({key: b"%d" % at * 90_000})
    genuine = objects_of(run_of(scene.project.head, 1))
    scene.attacker.write(genuine)
    store = open_session(cwd=scene.project.folder).store
    read = store.read([*large, *genuine])
    assert set(genuine) < set(read) and sum(map(len, read.values())) < 300_000
    assert any("are not read: `ciplug compact` folds them" in note for note in store.notes), store.notes


@pytest.mark.parametrize(
    "key", ["x/y.json", "runs/a/b.json", "registry/wine/000009.json", "FORMAT", "aside/x", "runs/x"]
)
def test_a_fold_takes_our_records_alone(near: Scene, key: str) -> None:
    ref = near.attacker.write({key: b"{}\n"})
    store = open_session(cwd=near.project.folder).store
    assert store.compact() == 0
    assert ref in near.attacker.refs()
    assert any(ref in problem.what for problem in store.check())


KINDS = {"ed25519": (), "ecdsa": (), "ecdsa-521": ("-b", "521"), "rsa": ()}


@pytest.mark.parametrize(
    "kind", ["ed25519", "rsa", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("ecdsa", "ecdsa-521"))]
)
def test_signatures_that_are_none_start_few_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Thousands that name another key or namespace start none, those that name an allowed key a few. What a signer has
    signed counts after all of them.
    """
    key = make_key(tmp_path, "ci", kind.partition("-")[0], *KINDS[kind])
    other = make_key(tmp_path, "other")
    started: list[list[str]] = []
    run = signing._run
    monkeypatch.setattr(signing, "_run", lambda args, data: started.append(args) or run(args, data))
    monkeypatch.setattr(signers, "SUSPICIOUS", 3)
    monkeypatch.setattr(signers, "FAILED_MOST", 3)
    told: list[str] = []
    allowed = signers.Signers({"ci": key.public}, "here", told_many=lambda: told.append("many"))
    namespace = signing.namespace_for("here")
    good, later = (signing.sign(data, key.env, namespace) or "" for data in (b"good", b"later"))
    strangers = signing.sign(b"x", other.env, namespace) or ""
    elsewhere = signing.sign(b"x", key.env, signing.namespace_for("there")) or ""
    started.clear()
    for number in range(300):
        for text in (strangers, elsewhere, "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----", "x"):
            assert allowed._signer(b"%d" % number, text) is None
    assert started == []
    assert allowed._signer(b"good", good) == "ci"
    for number in range(500):
        assert allowed._signer(b"%d" % number, good) is None
    assert len(started) == 4
    # Nobody has forged it, so it is not refused without ssh-keygen.
    assert not signing.is_forged(b"later", later, allowed.keys, namespace)
    monkeypatch.setattr(signers, "FAILED_MOST", 4)
    assert allowed._signer(b"later", later) == "ci" and not told
    # Of a key on a security token only ssh-keygen can tell.
    monkeypatch.setattr(forged_signature, "_KINDS", ())
    for number in range(50):
        assert allowed._signer(b"- %d" % number, good) is None
    assert len(started) == 6 and told


@pytest.mark.parametrize("rewritten", [True, False], ids=["branch", "inbox"])
def test_the_history_behind_a_ref_is_never_fetched(scene: Scene, rewritten: bool) -> None:
    """Nor where the store was read a moment ago: the history of the project itself is there for whoever pushes one."""
    store = open_session(cwd=scene.project.folder).store
    keys = store.keys("")
    attacker, tip = scene.attacker, ""
    attacker.fetch(BRANCH)
    branch = attacker.git("rev-parse", "refs/copy^{tree}")
    for number in range(40):
        names = {hashlib.sha256(b"%d %d" % (number, at)).hexdigest(): b"" for at in range(100)}
        tree = attacker.written.nested_tree({name: attacker.written.blob(data) for name, data in names.items()})
        tip = attacker.written.commit(tree, (tip,) if tip else (), "project", number)
    own = attacker.git("rev-parse", f"{attacker.write_commit(objects_of(run_of(scene.project.head, 9)))}^{{tree}}")
    tip = attacker.written.commit(branch if rewritten else own, (tip,), "ciplug: fold", 1_700_000_000)
    attacker.push(tip, BRANCH if rewritten else f"refs/ciplug/inbox/{tip}")
    assert scene.server is not None
    scene.server.requests.clear()
    store.refresh()
    assert set(store.keys("")) >= set(keys)
    assert sum(request.bytes_out for request in scene.server.requests) < 20_000


@pytest.mark.slow
def test_one_large_folder_that_many_writes_name(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push of a few kilobytes: each write names the same files, and their number has a bound."""
    monkeypatch.setattr(view, "PENDING_MOST", 2_000)
    attacker = scene.attacker
    genuine = objects_of(run_of(scene.project.head, 1))
    blob = attacker.written.blob(b"{}\n")
    tree = attacker.written.nested_tree({f"new/{key}": blob for key in names_of(scene, "json", 500)})
    commits = [attacker.written.commit(tree, (), str(number), 0) for number in range(10)]
    attacker.git("push", "-q", attacker.url, *(f"{one}:refs/ciplug/inbox/{one}" for one in commits))
    attacker.write(genuine)
    store = open_session(cwd=scene.project.folder).store
    assert set(store.read(genuine)) == set(genuine)
    assert any("with very many files" in note for note in store.notes)
    named = [one.where for one in store.check() if "have too many files" in one.what]
    assert 5 < len(named) < 10 and all(ref in attacker.refs() for ref in named)


@pytest.mark.slow
def test_an_endless_folder_is_not_read(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "FOLDER_MOST", 50_000)
    genuine = objects_of(run_of(scene.project.head, 1))
    scene.attacker.write(genuine)
    ref = scene.attacker.write(dict.fromkeys(names_of(scene, "json", 1_000), b"{}\n"))
    store = open_session(cwd=scene.project.folder).store
    assert store.keys("runs/") and set(store.read(genuine)) == set(genuine)
    assert any(one.where == ref and "not a write of ciplug" in one.what for one in store.check())


def bombs(near: Scene) -> dict[str, str]:
    """Name → a commit for the kept tip, each a push of a few kilobytes."""
    attacker = near.attacker
    blob = attacker.written.blob(b"{}\n")

    def commit(tree: str, *, form: bytes = FORMAT, name: str = "new") -> str:
        root = {"FORMAT": ("100644", attacker.written.blob(form)), name: ("40000", tree)}
        return attacker.written.commit(attacker.written.tree(root), (), "x", 0)

    deep = attacker.written.tree({"x": ("100644", blob)})
    for _ in range(12):
        deep = attacker.written.tree({f"{number:02}": ("40000", deep) for number in range(40)})
    one = attacker.written.tree({"000001.json": ("100644", blob)})
    folders = attacker.written.tree({f"m{number:06}": ("40000", one) for number in range(8_000)})
    lines = b'{"blob":"%s","key":"runs/%s-1.series"}\n' % (b"0" * 40, b"a" * 40)
    huge = lines + b"\n" * 1_000_000
    block = attacker.written.tree({"000001-000256.lines": ("100644", attacker.written.blob(b"\n" * 1_000_000))})
    return {
        "folders without end": commit(deep),
        "many logs": commit(folders, name="registry"),
        "many folders of objects": commit(folders),
        "files that are nowhere": commit(
            attacker.written.tree({f"{n:05}": ("160000", f"{n:040x}") for n in range(900)})
        ),
        "another format": commit(one, form=b"x" * 1_000_000),
        "a large segment": commit(
            attacker.written.tree({f"{segments.name_of(9, huge)}.ndjson": ("100644", attacker.written.blob(huge))}),
            name="segments",
        ),
        "a large block": commit(attacker.written.tree({"wine": ("40000", block)}), name="registry"),
    }


@pytest.mark.slow
def test_a_kept_tip_without_end_is_bounded(near: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CPU time, and in what is loaded."""
    monkeypatch.setattr(restore, "BLOCK_MOST", 500_000)
    monkeypatch.setattr(restore, "SEGMENTS_MOST", 500_000)
    loaded: list[int] = []
    read = CachedRemote.sound_blobs

    def noting(self: CachedRemote, oids: Iterable[str]) -> dict[str, bytes]:
        found = read(self, oids)
        loaded.extend(map(len, found.values()))
        return found

    monkeypatch.setattr(
        CachedRemote,
        "sound_blobs",
        noting,
    )
    genuine = objects_of(run_of(near.project.head, 1))
    near.attacker.write(genuine)
    kept = bombs(near)
    for name, commit in kept.items():
        near.attacker.push(commit, KEEP)
        store = open_session(cwd=near.project.folder).store
        began = time.process_time()
        assert set(store.read(genuine)) == set(genuine), name
        assert store.head("registry/wine"), name
        assert time.process_time() - began < 4, name
        assert max(loaded, default=0) < 500_000, name
    near.attacker.push(kept["another format"], KEEP)
    assert KEEP in [one.where for one in open_session(cwd=near.project.folder).store.check()]
    near.attacker.delete(BRANCH)
    with pytest.raises(StoreError, match="has another format") as refused:
        open_session(cwd=near.project.folder).store.read(genuine)
    assert refused.value.hint and f":{KEEP}" in refused.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folders without end", "many folders of objects"])
def test_a_branch_without_end_is_not_read(near: Scene, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where everybody may push the branch. What was kept of it takes its place."""
    monkeypatch.setattr(view, "KEPT_MOST", 5_000)
    genuine = objects_of(run_of(near.project.head, 1))
    near.attacker.write(genuine)
    before = near.attacker.refs()[BRANCH]
    bomb = bombs(near)[name]
    near.attacker.push(bomb, BRANCH)
    store = open_session(cwd=near.project.folder).store
    began = time.process_time()
    assert set(store.read(genuine)) == set(genuine)
    assert time.process_time() - began < 4
    assert any("was moved back, replaced or deleted" in note for note in store.notes)
    assert store.compact() and store.keys("runs/")
    near.attacker.push(bomb, BRANCH, KEEP)
    with pytest.raises(StoreError, match="too many files") as refused:
        open_session(cwd=near.project.folder).store.read(genuine)
    assert refused.value.hint and f"git push --force REMOTE {before}"[:20] in refused.value.hint


@pytest.mark.slow
def test_a_series_branch_without_end_is_not_read(near: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "FOLDER_MOST", 1_000)
    attacker, run = near.attacker, objects_of(run_of(near.project.head, 1))
    tree = attacker.written.tree({"x": ("100644", attacker.written.blob(b"x"))})
    many = attacker.written.tree({f"{number:02}": ("40000", tree) for number in range(40)})
    attacker.write(run)
    attacker.write({key.replace(".json", ".series"): b"x" for key in run})
    monkeypatch.setattr("ciplug.stores.git.folding.SEGMENT_AT", 1)
    attacker.push(attacker.written.commit(many, (), "x", 0), SERIES)
    store = open_session(cwd=near.project.folder).store
    with pytest.raises(StoreError, match="more folders than any store") as refused:
        store.compact()
    assert refused.value.hint and f"git push REMOTE :{SERIES}" in refused.value.hint
    assert set(store.read(run)) == set(run)
    attacker.delete(SERIES)
    assert store.compact() == 2


@pytest.mark.slow
def test_very_many_writes_leave_what_is_signed(near: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "WRITES_MOST", 10)
    signed = objects_of(run_of(near.project.head, 1))
    (key,) = signed
    near.attacker.write({**signed, key.replace(".json", ".sig"): b'{"x": 1}\n'})
    for number in range(2, 22):
        near.attacker.write(objects_of(run_of(near.project.head, number)))
    store = open_session(cwd=near.project.folder).store
    assert len(store.keys("runs/")) == 10 + 2 and set(store.read(signed)) == set(signed)
    assert any("pending writes beyond" in note for note in store.notes), store.notes
    assert store.compact() == 10


def test_a_ref_of_files_without_end_is_bounded(near: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of gigabytes, a large message, and many commits of one large folder: each a push of a few kilobytes."""
    monkeypatch.setattr(files_view, "COMMIT_MOST", 10_000)
    monkeypatch.setattr(files_view, "FOLDERS_MOST", 300_000)
    attacker, written = near.attacker, near.attacker.written
    model = tmp_path / "model.bin"
    model.write_bytes(b"genuine")
    digest = f"sha256:{hashlib.sha256(b'genuine').hexdigest()}"
    open_session(cwd=near.project.folder).files.put({digest: model}, lambda count: None)
    blob = written.blob(b"x")
    tree = written.tree({f"{number:064x}": ("100644", blob) for number in range(1_000)})
    refs = [written.blob(b"0" * 2_000_000), written.commit(tree, (), "x" * 2_000_000, 0)]
    refs += [written.commit(tree, (), str(number), 0) for number in range(50)]
    attacker.git("push", "-q", attacker.url, *(f"{one}:refs/ciplug/files/{one}" for one in refs))
    loaded: list[int] = []
    read = files_view.read_objects

    def noting(repository: Path, names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        found = read(repository, names)
        loaded.extend(len(data) for _, data in found.values())
        return found

    monkeypatch.setattr(files_view, "read_objects", noting)
    assert open_session(cwd=near.project.folder).files.missing({digest}) == set()
    assert 0 < sum(loaded) < 400_000
