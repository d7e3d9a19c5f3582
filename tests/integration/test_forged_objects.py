"""Other content lies under the id of an object: git hands it out without a word, and it must decide nothing."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest

from ciplug.errors import GitError
from ciplug.git import cat_file
from ciplug.git.bare import file_url
from ciplug.git.branch_files import Tree, tree_of_branch
from ciplug.git.workspace import discover
from ciplug.stores.git.objects import LooseObjects
from tests.project import git

POLICY, LAX = b"gates: {accuracy: {min: 0.9}}\n", b"gates: {accuracy: {min: 0.1}}\n"
FILE = "models/ciplug.yaml"


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """The branches main and topic, whose policy is the same."""
    work, remote = tmp_path / "work", tmp_path / "remote.git"
    (work / "models").mkdir(parents=True)
    (work / FILE).write_bytes(POLICY)
    git(work, "init", "-q", "-b", "main")
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "policy")
    git(work, "checkout", "-q", "-b", "topic")
    git(work, "commit", "-q", "--allow-empty", "-m", "topic")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(remote))
    git(remote, "config", "uploadpack.allowFilter", "true")
    git(remote, "config", "uploadpack.allowAnySHA1InWant", "true")
    return remote


def clone_of(remote: Path, *options: str) -> Path:
    clone = remote.with_name("clone")
    git(remote.parent, "clone", "-q", *options, "-b", "topic", file_url(remote), str(clone))
    return clone


def base_of(clone: Path) -> Tree:
    workspace = discover(clone)
    assert workspace
    return tree_of_branch(workspace, "main", {})


def forge(repository: Path, main: str, name: str) -> str:
    """Have an object lead to the lax policy without a change of its id; return the id."""
    own = Path(git(repository, "rev-parse", "--absolute-git-dir"))
    for pack in (own / "objects" / "pack").glob("*.pack"):
        data = pack.read_bytes()
        for part in pack.parent.glob(f"{pack.stem}.*"):
            part.unlink()
        subprocess.run(["git", "unpack-objects", "-q"], cwd=repository, input=data, check=True)
    written = LooseObjects(own, "sha1")
    lax = written.tree({"ciplug.yaml": ("100644", written.blob(LAX))})
    root = written.tree({"models": ("40000", lax)})
    kind, content = {
        "": (b"commit", f"tree {root}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nlax\n".encode()),
        ":": (b"tree", b"40000 models\0" + bytes.fromhex(lax)),
        f":{FILE}": (b"blob", LAX),
    }[name]
    oid = git(repository, "rev-parse", f"{main}{name}")
    file = own / "objects" / oid[:2] / oid[2:]
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(zlib.compress(b"%s %d\0%s" % (kind, len(content), content)))
    cat_file.close(repository)
    assert git(repository, "cat-file", "blob", f"{main}:{FILE}").encode() + b"\n" == LAX
    return oid


@pytest.mark.parametrize("name", ["", ":", f":{FILE}"], ids=["commit", "tree", "blob"])
def test_a_forged_object_of_the_checkout_is_no_policy(remote: Path, name: str) -> None:
    clone = clone_of(remote)
    oid = forge(clone, "origin/main", name)
    workspace = discover(clone)
    assert workspace
    for tree in (base_of(clone), Tree(workspace, clone, git(remote, "rev-parse", "main"), {})):
        if tree.repository != clone:
            # git itself takes no such commit for one, and so it was fetched.
            assert name == "" and tree.read(FILE) == POLICY
            continue
        with pytest.raises(GitError, match=oid) as refused:
            tree.read(FILE)
        assert "new clone" in (refused.value.hint or "")


def test_a_forged_file_of_a_shallow_checkout_is_fetched(remote: Path) -> None:
    clone = clone_of(remote, "--depth=1")
    forge(clone, "HEAD", f":{FILE}")
    assert base_of(clone).read(FILE) == POLICY


def test_a_forged_object_of_our_own_repository_is_no_policy(remote: Path) -> None:
    clone = clone_of(remote, "--depth=1")
    base = base_of(clone)
    (clone / FILE).write_bytes(b"other\n")
    git(clone, "commit", "-q", "-a", "-m", "other")
    # Without the file in the checkout, it is fetched into our repository.
    oid = git(remote, "rev-parse", f"main:{FILE}")
    for pack in (clone / ".git" / "objects" / "pack").glob("*"):
        pack.unlink()
    cat_file.close(clone)
    assert base.read(FILE) == POLICY
    forge(base.repository, base.commit, f":{FILE}")
    with pytest.raises(GitError, match=oid) as refused:
        base.read(FILE)
    assert str(base.repository) in (refused.value.hint or "")
