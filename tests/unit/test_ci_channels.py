"""Summaries, outputs, annotations, and log lines that must not become commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug import ci
from ciplug.ci import azure, base, bitbucket, github_actions, jenkins
from ciplug.ci.base import cut_markdown, safe_log


class TestSafeLog:
    @pytest.mark.parametrize(
        ("untrusted", "shown"),
        [
            ("accuracy: 0.9 (a::b)", "accuracy: 0.9 (a::b)"),
            ("::error::x", ": :error::x"),
            (" \t::error::x", " \t: :error::x"),
            ("a\n::add-mask::x\nb", "a\n: :add-mask::x\nb"),
            ("\u00a0::error::x", "\u00a0: :error::x"),
            ("\u200b::error::x", "\\u200b::error::x"),
            (":::x", ": ::x"),
            ("x ##[error]y", "x # #[error]y"),
            ("##vso[task.setvariable variable=a]b", "# #vso[task.setvariable variable=a]b"),
            ("## Heading", "## Heading"),
            ("a\r::error::x", "a\\r::error::x"),
            ("a\x85::error::x", "a\\x85::error::x"),
            ("a\u2028::error::x", "a\\u2028::error::x"),
            ("\x1b[2Jgone", "\\x1b[2Jgone"),
            ("\u202eevil", "\\u202eevil"),
            ("modèle 精度", "modèle 精度"),
        ],
    )
    def test_table(self, untrusted: str, shown: str) -> None:
        assert safe_log(untrusted) == shown

    @settings(deadline=None)
    @given(st.text(st.sampled_from(list(":#[ ab\n\r\t\x0b\x85\u2028\u00a0\u3000\ufeff\x1b"))))
    def test_no_line_is_a_command(self, untrusted: str) -> None:
        shown = safe_log(untrusted)
        assert not any(line.strip().startswith("::") for line in shown.splitlines())
        assert "##[" not in shown
        assert "\x1b" not in shown
        assert safe_log(shown) == shown


class TestAnnotate:
    def test_github(self) -> None:
        say = github_actions.annotate
        assert say("error", "gate failed") == "::error::gate failed"
        assert say("warning", "50% worse\r\n::set", "a:b,c.yaml", 3) == (
            "::warning file=a%3Ab%2Cc.yaml,line=3::50%25 worse%0D%0A::set"
        )
        assert say("notice", "m", None, 3) == "::notice::m"

    def test_azure(self) -> None:
        say = azure.annotate
        assert say("error", "gate failed") == "##vso[task.logissue type=error]gate failed"
        assert say("warning", "50% worse\r\n##vso", "a;b].yaml", 3) == (
            "##vso[task.logissue type=warning;sourcepath=a%3Bb%5D.yaml;linenumber=3]50%AZP25 worse%0D%0A##vso"
        )
        assert say("notice", "m", "f", 3) == "f:3: notice: m"

    def test_others(self) -> None:
        say = base.annotate
        assert say("error", "gate failed", "ciplug.yaml", 3) == "ciplug.yaml:3: error: gate failed"
        assert say("notice", "m", "f") == "f: notice: m"
        assert say("warning", "a\n::b") == "warning: a ::b"

    @settings(deadline=None)
    @given(st.text(), st.text())
    def test_is_one_line_on_every_host(self, message: str, file: str) -> None:
        for host in ci.HOSTS.values():
            assert len(re.split("[\r\n]", host.annotate("error", message, file, 1))) == 1


class TestOutputs:
    def test_read_back_as_the_runner_does(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        path.write_text("earlier=1\n")
        values = {"verdict": "PASS", "body": "a\nb=c\nx<<EOF\n\nEOF", "empty": "", "unicode": "é"}
        assert github_actions.write_outputs({"GITHUB_OUTPUT": str(path)}, values)
        assert read_outputs(path.read_text(encoding="utf-8")) == {"earlier": "1", **values}

    def test_delimiter_cannot_be_guessed(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        for _ in range(2):
            github_actions.write_outputs({"GITHUB_OUTPUT": str(path)}, {"a": "1", "b": "2"})
        assert len(set(re.findall("<<(.+)", path.read_text()))) == 4

    @pytest.mark.parametrize("name", ["a b", "a=b", "", "a\nb", "a<<b", "1a"])
    def test_name(self, name: str, tmp_path: Path) -> None:
        out = str(tmp_path / "out")
        for host, env in (
            (github_actions, {"GITHUB_OUTPUT": out}),
            (bitbucket, {"BITBUCKET_PIPELINES_VARIABLES_PATH": out}),
            (azure, {}),
            (jenkins, {"CIPLUG_OUTPUTS": out}),
        ):
            with pytest.raises(ValueError, match="not a name"):
                host.write_outputs(env, {name: "1"})

    def test_bitbucket(self, tmp_path: Path) -> None:
        env = {"BITBUCKET_PIPELINES_VARIABLES_PATH": str(tmp_path / "out")}
        assert bitbucket.write_outputs(env, {"run-id": "1", "report": "a\nverdict=PASS", "empty": ""})
        assert (tmp_path / "out").read_text() == "run_id=1\nreport=a verdict=PASS\nempty=\n"

    def test_jenkins(self, tmp_path: Path) -> None:
        env = {"CIPLUG_OUTPUTS": str(tmp_path / "out")}
        assert jenkins.write_outputs(env, {"run-id": "1", "summary": "✅ wine: PASS\nverdict=PASS"})
        assert (tmp_path / "out").read_text(encoding="utf-8") == "run_id=1\nsummary=✅ wine: PASS verdict=PASS\n"

    def test_azure(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert azure.write_outputs({}, {"run-id": "1", "report": "50%\n##vso[task.setvariable]x"})
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.splitlines() == [
            "##vso[task.setvariable variable=run-id;isOutput=true]1",
            "##vso[task.setvariable variable=report;isOutput=true]50%AZP25%0A##vso[task.setvariable]x",
        ]

    def test_nowhere_to_write(self, tmp_path: Path) -> None:
        assert not github_actions.write_outputs({}, {"a": "1"})
        assert not github_actions.write_outputs({"GITHUB_OUTPUT": str(tmp_path / "no" / "out")}, {"a": "1"})
        assert not bitbucket.write_outputs({"BITBUCKET_PIPELINES_VARIABLES_PATH": str(tmp_path / "no/out")}, {"a": "1"})
        for name in ("gitlab_ci", "bitbucket", "jenkins", "local"):
            assert not ci.host_module(name).write_outputs({}, {"a": "1"})


def read_outputs(content: str) -> dict[str, str]:
    lines = iter(content.split("\n"))
    values = {}
    for line in lines:
        if "<<" in line.partition("=")[0]:
            name, _, delimiter = line.partition("<<")
            block = []
            while (inner := next(lines)) != delimiter:
                block.append(inner)
            values[name] = "\n".join(block)
        elif line:
            name, _, values[name] = line.partition("=")
    return values


class TestSummary:
    def test_appends(self, tmp_path: Path) -> None:
        env = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
        assert github_actions.write_summary(env, lambda: "# One")
        assert github_actions.write_summary(env, lambda: "# Two ✓\n")
        assert (tmp_path / "summary").read_text(encoding="utf-8") == "# One\n# Two ✓\n"

    def test_nowhere_to_write(self, tmp_path: Path) -> None:
        assert not github_actions.write_summary({}, lambda: pytest.fail("nobody sees it"))
        assert not github_actions.write_summary({"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "s")}, lambda: "x")
        assert not azure.write_summary({"AGENT_TEMPDIRECTORY": str(tmp_path / "no")}, lambda: "x")
        for name in ("gitea", "gitlab_ci", "bitbucket", "azure", "jenkins", "local"):
            assert not ci.host_module(name).write_summary({}, lambda: pytest.fail("nobody sees it"))

    def test_azure_takes_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert azure.write_summary({"AGENT_TEMPDIRECTORY": str(tmp_path)}, lambda: "# One ✓\n")
        (file,) = tmp_path.iterdir()
        assert file.read_text(encoding="utf-8") == "# One ✓\n"
        assert capsys.readouterr().err == f"##vso[task.uploadsummary]{file}\n"

    def test_the_limit_is_that_of_the_step(self, tmp_path: Path) -> None:
        path = tmp_path / "summary"
        env = {"GITHUB_STEP_SUMMARY": str(path)}
        section = "## Part\n" + "é" * 200_000 + "\n"
        assert github_actions.write_summary(env, lambda: section * 2)
        assert github_actions.write_summary(env, lambda: section * 2)
        assert path.stat().st_size <= 1024 * 1024
        content = path.read_text(encoding="utf-8")
        assert content == section * 2 + "_2 sections were left out here for lack of space: see the full report._\n"
        path.write_bytes(b"x" * 1024 * 1024)
        assert not github_actions.write_summary(env, lambda: "more")


class TestCutMarkdown:
    def test_short_enough_stays(self) -> None:
        assert cut_markdown("# A\n\ntext", 9) == "# A\n\ntext"

    def test_drops_whole_sections_from_the_end(self) -> None:
        text = "# A\n\ntext\n\n## B\n\n" + "b" * 50 + "\n\n## C\n\n" + "c" * 300 + "\n"
        cut = cut_markdown(text, 200)
        assert cut.startswith("# A\n\ntext\n\n## B\n\n" + "b" * 50)
        assert cut.endswith("\n_1 section was left out here for lack of space: see the full report._\n")
        assert "c" * 9 not in cut

    @pytest.mark.parametrize("wrap", ["```\n{}```\n", "~~~~yaml\n{}~~~~\n", "<details>\n{}</details>\n"])
    def test_never_inside_of_code_or_details(self, wrap: str) -> None:
        block = wrap.format("# not a section\n" * 100)
        assert "not a section" not in cut_markdown("# A\n" + block + "# B\n" + "b" * 3000, 1000)
        assert block in cut_markdown("# A\n" + block + "# B\n" + "b" * 3000, 2500)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["# A\n", "é" * 40 + "\n", "```\n", "text\n"])), st.integers(0, 600))
    def test_never_longer_than_the_limit(self, lines: list[str], limit: int) -> None:
        assert len(cut_markdown("".join(lines), limit).encode()) <= limit
