"""`clean: {ignore: …}` has the rules of .gitignore: git itself is the oracle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ciplug.config.clean_patterns import Clean, line_to_add
from ciplug.strict_yaml import read
from tests import generated

FILES = [
    *("a", "b.txt", "ab", "a b", "lib/a", "lib/b.txt", "lib/ab/a", "lib/ab/b.txt", "lib/x/y/a", "lib/[a]/b.txt"),
    *("!a/b", "doc/#a", "A", "doc/a-b", "doc/é.txt", "lib.txt", "a.txt/lib", "doc/a*b", "doc/b"),
]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("patterns")
    subprocess.run(["git", "init", "-q"], cwd=top, check=True)
    for name in FILES:
        # `a.txt` and others are folders here and files there; on a case-insensitive disk they would clash.
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        if not (top / name).is_dir():
            (top / name).write_text("")
    subprocess.run(["git", "add", "-A"], cwd=top, check=True)
    return top


def by_git(top: Path, patterns: tuple[str, ...]) -> set[str]:
    (top / ".git" / "patterns").write_text("".join(f"{pattern}\n" for pattern in patterns))
    command = ["git", "ls-files", "-c", "-i", "-z", "--exclude-from=.git/patterns"]
    return set(subprocess.run(command, cwd=top, check=True, capture_output=True, text=True).stdout.split("\0")) - {""}


def by_us(top: Path, patterns: tuple[str, ...]) -> set[str]:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=top, check=True, capture_output=True, text=True).stdout
    return {name for name in tracked.split("\0") if name and Clean(ignore=patterns).ignores(name)}


@pytest.mark.parametrize(
    "patterns",
    [
        *[("a",), ("/a",), ("lib/",), ("lib",), ("*.txt",), ("/*.txt",), ("lib/*.txt",), ("lib/**/a",), ("**/a",)],
        *[("lib/**",), ("**/ab/*",), ("?",), ("[ab]",), ("[!a]",), ("[^a-z]",), ("doc/[[:punct:]]*",), ("a/",)],
        *[("*", "!a"), ("*.txt", "!b.txt"), ("lib", "!lib/a"), ("lib/*", "!lib/ab"), ("/lib/x/y",), ("lib/*/a",)],
        *[(r"\!a",), (r"doc/\#a",), (r"doc/a\*b",), (r"lib/\[a\]/b.txt",), ("[",), ("a b",), ("é.txt",), ("doc/é*",)],
        *[("lib/x/**/a",), ("lib**a",), ("**",), ("lib/[]a]b",), ("[a-]*",), ("lib/ab/",), ("x/y",), ("/**/a",)],
    ],
)
def test_the_rules_of_gitignore(repository: Path, patterns: tuple[str, ...]) -> None:
    assert by_us(repository, patterns) == by_git(repository, patterns)


PARTS = st.sampled_from(["a", "b", "lib", "ab", "*", "**", "?", "b.txt", "*.txt", "x", "[ab]", "[!b]", "doc", "a*"])
PATTERNS = st.tuples(
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(PARTS, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "", "/"]),
).map("".join)


@settings(
    deadline=None, max_examples=generated.examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PATTERNS, min_size=1, max_size=3).map(tuple))
def test_any_patterns(repository: Path, patterns: tuple[str, ...]) -> None:
    assert by_us(repository, patterns) == by_git(repository, patterns)


@pytest.mark.parametrize(
    "path", [*FILES, "tab\there", "it's", "a: b", "{x}", "ends  ", "-", "- a", "#b", "true", "1e3"]
)
def test_the_line_to_add_sets_this_file_aside_and_no_other(path: str) -> None:
    data = read(line_to_add([path])).data["clean"]["ignore"]
    clean = Clean(ignore=tuple(data))
    assert {name for name in (*FILES, path, f"sub/{path}") if clean.ignores(name)} == {path}


def test_paths_are_seen_from_the_folder_of_the_file() -> None:
    line = line_to_add(["models/wine/version.py", "poetry.lock", "models/lib/v.py"], "models/wine")
    assert line == "clean: {ignore: [/version.py, ../../poetry.lock, ../lib/v.py]}"
    clean = Clean(ignore=("/version.py", "../../poetry.lock", "*.lock"))
    assert clean.ignores("version.py") and clean.ignores("../../poetry.lock") and clean.ignores("../other/a.lock")
    assert not clean.ignores("../version.py") and not clean.ignores("sub/version.py")
