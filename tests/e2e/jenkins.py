"""A small stand-in for Jenkins: Groovy runs a Jenkinsfile on jenkins_dsl.groovy."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.project import TOKEN, Project

_ROOT = Path(__file__).resolve().parents[2]
_DSL = _ROOT / "tests/e2e/jenkins_dsl.groovy"


@dataclass
class Build:
    code: int
    log: str
    result: str
    events: list[dict[str, Any]]
    description: str
    archive: dict[str, bytes]

    def stages(self) -> list[str]:
        return [e["stage"] for e in self.events if "stage" in e and "skipped" not in e]

    def steps(self, name: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e.get("step") == name]


class Jenkins:
    def __init__(self, groovy: str, java: str, folder: Path, env: dict[str, str]) -> None:
        self._groovy, self._folder, self._env = groovy, folder, env
        # Debian's groovy looks for Java in a place that is empty when only one Java is installed.
        self._java_home = str(Path(java).resolve().parents[1])
        self._number = 0

    def build(self, text: str, **settings: Any) -> Build:
        """Run a Jenkinsfile, on one agent after another."""
        return self._run([self._prepared(text, **settings)])[0]

    def builds(self, *texts: str, **settings: Any) -> list[Build]:
        """Run several by one start of Groovy, which takes longer than a short build."""
        return self._run([self._prepared(text, **settings) for text in texts])

    def _prepared(
        self,
        text: str,
        *,
        env: dict[str, str] | None = None,
        scm: dict[str, str] | None = None,
        answer: str = "approve",
        parameters: dict[str, str] | None = None,
        credentials: dict[str, str] | None = None,
    ) -> Path:
        self._number += 1
        folder = self._folder / f"build{self._number}"
        folder.mkdir()
        (folder / "Jenkinsfile").write_text(text)
        config = {
            "jenkinsfile": str(folder / "Jenkinsfile"),
            "folder": str(folder),
            "vars": str(_ROOT / "templates/jenkins/vars"),
            "env": {
                **self._env,
                "BUILD_NUMBER": str(self._number),
                "BUILD_TAG": f"jenkins-demo-{self._number}",
                "BUILD_URL": f"https://jenkins.example.com/job/demo/{self._number}/",
                **(env or {}),
            },
            "scm": scm,
            "input": answer,
            "submitter": "grace",
            "parameters": parameters,
            "credentials": {"ciplug-push": TOKEN, "ciplug-comment": "user-token"}
            if credentials is None
            else credentials,
        }
        (folder / "build.json").write_text(json.dumps(config))
        return folder

    def _run(self, folders: list[Path]) -> list[Build]:
        done = subprocess.run(
            [self._groovy, str(_DSL), *(str(folder / "build.json") for folder in folders)],
            # It runs for seconds: to optimise it for longer takes as much time again.
            env={**os.environ, "JAVA_HOME": self._java_home, "JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        logs = done.stdout.split("== next build\n")
        assert len(logs) == len(folders), done.stdout
        return [self._made(folder, log, done.returncode) for folder, log in zip(folders, logs, strict=True)]

    @staticmethod
    def _made(folder: Path, log: str, code: int) -> Build:
        told = json.loads((folder / "events.json").read_text()) if (folder / "events.json").exists() else {}
        archive = folder / "archive"
        return Build(
            told.get("code", code),
            log,
            told.get("result", ""),
            told.get("events", []),
            told.get("description") or "",
            {str(f.relative_to(archive)): f.read_bytes() for f in archive.rglob("*") if f.is_file()},
        )


def scm_of(project: Project, commit: str, branch: str) -> dict[str, str]:
    return {"url": project.url, "commit": commit, "branch": branch, "header": project.header}
