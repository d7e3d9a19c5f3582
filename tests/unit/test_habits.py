"""What people type without having read a page: help, log, half a word and the Tab key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ciplug import cli


def test_help_of_a_command_and_of_its_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words, begin in (
        (["help", "gate"], "usage: ciplug gate "),
        (["help", "runs", "diff"], "usage: ciplug runs diff "),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0 and capsys.readouterr().out.startswith(begin)
    assert cli.main(["help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"  {name} " in overview for name in (*cli.COMMANDS, *cli.BUILT_IN))
    assert cli.main(["help", "gaet"]) == 2
    assert "did you mean 'gate'?" in capsys.readouterr().err


def test_what_was_probably_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lgo"]) == 2
    assert "did you mean 'log'?" in capsys.readouterr().err
    for words, usage, hint in (
        (["show"], "", "did you mean 'ciplug runs show'?"),
        (["status"], "", "did you mean 'ciplug runs list'?"),
        (["lst"], "", "did you mean 'ciplug runs list'?"),
        (["gate", "last"], "usage: ciplug gate ", "to name a run: ciplug gate --run last"),
        (["report", "last"], "usage: ciplug report ", "to name a run: ciplug report --run last"),
        (["log", "--brnch", "main"], "usage: ciplug runs list ", "did you mean '--branch'?"),
    ):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert hint in said and said.startswith(usage), words
    for words, meant in ((["runs", "lst"], "list"), (["runs", "diff", "a", "b", "--format", "markdwn"], "markdown")):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 2 and f"did you mean '{meant}'?" in capsys.readouterr().err
    assert cli.main(["completion", "bsh"]) == 2
    assert "unknown shell 'bsh'" in capsys.readouterr().err


def test_log_lists_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ["--store", tmp_path.joinpath("store").as_uri()]
    assert cli.main(["log", "--format", "csv", *store]) == cli.main(["runs", "list", "--format", "csv", *store]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and first.startswith("run,model,commit")
    with pytest.raises(SystemExit):
        cli.main(["help", "log"])
    assert capsys.readouterr().out.startswith("usage: ciplug runs list ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["le"], {"leaderboard"}),
        (["runs", "s"], {"show", "sweep", "sign"}),
        (["runs", "diff", "--al"], {"--all"}),
        (["help", "promo"], {"promote"}),
        (["help", "runs", "sw"], {"sweep"}),
        (["log", "--wh"], {"--where"}),
    ],
)
def test_bash_completes(
    words: list[str], found: set[str], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    pytest.importorskip("shtab")
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "ciplug.bash"
    script.write_bytes(capfdbinary.readouterr().out)
    ask = (
        f"source {script}; COMP_WORDS=(ciplug {' '.join(words)}); COMP_CWORD={len(words)}; _shtab_ciplug; "
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
    assert {line.strip() for line in done.stdout.splitlines()} == found, done.stderr
