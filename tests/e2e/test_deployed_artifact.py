"""What `ciplug deploy` pushes, as another client of OCI registries finds it: oras pulls the files by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import CONFIG, Project
from tests.servers.docker_registry import docker_registry

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_oras_pulls_the_files_of_a_version(tmp_path: Path) -> None:
    oras = pytest.importorskip("oras.client")
    with docker_registry(tmp_path / "registry") as registry:
        target = f"{{kind: oci, repository: '{registry.host}/team/wine'}}"
        project = Project.with_remote(tmp_path, config=f"{CONFIG}targets: {{prod: {target}}}\n")
        project.train()
        project.ciplug("gate")
        for stage in ("staging", "production"):
            project.ciplug("promote", "wine", "--to", stage)
        reference = project.ciplug("deploy", "wine@production", "--to", "prod").stdout.strip()
        project.ciplug("pull", "wine@production", "--to", str(tmp_path / "pulled"))
        pulled = (tmp_path / "pulled" / "model.txt").read_bytes()
        for name in (reference, f"{registry.host}/team/wine:production", f"{registry.host}/team/wine:v1"):
            (file,) = oras.OrasClient(insecure=True).pull(target=name, outdir=str(tmp_path / "oras"), overwrite=True)
            assert Path(file).relative_to(tmp_path / "oras").as_posix() == "model.txt"
            assert Path(file).read_bytes() == pulled
