"""What `ciplug doctor` makes of the words of hosts, and the lines that it names."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from ciplug.ci import HOSTS
from ciplug.errors import Cause, CiplugError, ConfigError
from ciplug.git.failures import failure_of, read_failure
from ciplug.health import remedies
from ciplug.health.base import Finding, Trouble, attempt, exit_code
from ciplug.stores.git.causes import cause_of

WORDS = (
    ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", Cause.NO_CREDENTIAL),
    (
        "remote: HTTP Basic: Access denied; fatal: Authentication failed for 'https://x/'",
        Cause.BAD_CREDENTIAL,
    ),
    ("git@github.com: Permission denied (publickey).", Cause.BAD_CREDENTIAL),
    ("remote: Permission to acme/wine.git denied to github-actions[bot].; error: 403", Cause.FORBIDDEN),
    ("remote: Write access to repository not granted.; The requested URL returned error: 403", Cause.FORBIDDEN),
    ("remote: You are not allowed to push code to this project.", Cause.FORBIDDEN),
    ("ERROR: The key you are authenticating with has been marked as read only.", Cause.FORBIDDEN),
    ("TF401027: You need the Git 'GenericContribute' permission to perform this action.", Cause.FORBIDDEN),
    ("remote: Repository not found.; fatal: repository 'https://github.com/a/b/' not found", Cause.NOT_FOUND),
    ("fatal: '/srv/b.git' does not appear to be a git repository", Cause.NOT_FOUND),
    ("remote: error: GH006: Protected branch update failed for refs/heads/ciplug.", Cause.PROTECTED),
    ("GitLab: You are not allowed to push code to protected branches on this project.", Cause.PROTECTED),
    ("[remote rejected] (pre-receive hook declined): no", Cause.RULE),
    ("remote: error: GH013: Repository rule violations found for refs/heads/ciplug.", Cause.RULE),
    ("[remote rejected] (deny updating a hidden ref)", Cause.RULE),
    ("fatal: unable to access 'https://x/': Could not resolve host: x", Cause.NETWORK),
    ("fatal: unable to access 'https://x/': Failed to connect to x port 443: Connection refused", Cause.NETWORK),
    ("ssh: connect to host x port 22: Connection timed out", Cause.NETWORK),
    ("something that no host has said yet", Cause.UNKNOWN),
)


@pytest.mark.parametrize(("words", "cause"), WORDS)
def test_the_words_of_hosts(words: str, cause: Cause) -> None:
    assert cause_of(failure_of(words)) == cause


BY_SSH = "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ssh: Could not resolve hostname x: Name or service not known", Cause.NETWORK),
        ("ssh: connect to host x port 22: Connection refused", Cause.NETWORK),
        ("git@x: Permission denied (publickey).", Cause.BAD_CREDENTIAL),
        ("Host key verification failed.", Cause.BAD_CREDENTIAL),
    ],
)
def test_what_ssh_says_is_not_lost(said: str, cause: Cause) -> None:
    failure = read_failure(f"{said}\n{BY_SSH}".encode())
    assert failure.words == f"{said}; fatal: Could not read from remote repository."
    assert cause_of(failure) == cause and failure.hint is None


def _yaml_of(line: str) -> Any:
    """The YAML in a line like `in the job: permissions: {…}`."""
    found = re.search(r"(\w[\w-]*: \{.*\}|- \{.*\})", line.partition(": ")[2])
    return yaml.safe_load(found[0]) if found else None


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_has_a_line_for_everything(host: str) -> None:
    for cause in (Cause.NO_CREDENTIAL, Cause.BAD_CREDENTIAL, Cause.FORBIDDEN, Cause.NOT_FOUND):
        line = remedies.push(host, cause, by_token=False)
        assert "{{" not in line.replace("${{", "")
        assert remedies.push(host, cause, by_token=True).startswith("CIPLUG_PUSH_TOKEN = ")
        if line.startswith("in the "):
            assert _yaml_of(line)
    for kind in ("github", "gitlab", "gitea", "bitbucket"):
        for line in (remedies.token(host, kind), remedies.right(host, kind)):
            assert re.search(r"CIPLUG_\w+_TOKEN|GITHUB_TOKEN|permissions", line)
            assert not line.startswith("in the ") or _yaml_of(line)
    assert remedies.history(host)


def test_the_lines_are_what_hosts_read() -> None:
    assert _yaml_of(remedies.push("github_actions", Cause.FORBIDDEN, by_token=False)) == {
        "permissions": {"contents": "write", "pull-requests": "write", "statuses": "write"}
    }
    assert _yaml_of(remedies.push("github_actions", Cause.NO_CREDENTIAL, by_token=False)) == {
        "with": {"persist-credentials": True}
    }
    assert _yaml_of(remedies.push("azure", Cause.NO_CREDENTIAL, by_token=False)) == [
        {"checkout": "self", "persistCredentials": True}
    ]
    assert _yaml_of(remedies.token("github_actions", "github")) == {"env": {"GITHUB_TOKEN": "${{ github.token }}"}}
    assert _yaml_of(remedies.token("gitea", "gitea")) == {"env": {"CIPLUG_GITEA_TOKEN": "${{ github.token }}"}}
    assert "variable: 'CIPLUG_GITHUB_TOKEN')]) { … }" in remedies.right("jenkins", "github")


def _raising(problem: Exception) -> Finding:
    def check() -> str:
        raise problem

    return attempt("check", check)


def test_whatever_a_check_raises_is_a_finding() -> None:
    assert _raising(CiplugError("wrong", hint="do")) == Finding("check", "failure", "wrong", "do", 3)
    assert _raising(ConfigError("wrong")).exit_code == 2
    assert _raising(Trouble("warning", "late")) == Finding("check", "warning", "late")
    assert _raising(TimeoutError("no answer")) == Finding("check", "failure", "no answer", "", 3)
    assert "a bug in ciplug: KeyError" in _raising(KeyError("x")).message


@pytest.mark.parametrize(("codes", "code"), [((), 0), ((2,), 2), ((3,), 3), ((2, 3), 3)])
def test_the_worst_finding_decides(codes: tuple[int, ...], code: int) -> None:
    findings = {str(n): Finding(str(n), "failure", "", exit_code=c) for n, c in enumerate(codes)}
    assert exit_code({**findings, "fine": Finding("fine", "ok", "")}) == code
