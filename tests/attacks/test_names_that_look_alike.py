"""An alias or a model that people would take for another one is refused by whoever writes the registry."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import Scene

pytestmark = pytest.mark.slow


def test_no_alias_and_no_model_looks_like_another(scene: Scene) -> None:
    project = scene.project
    (run,) = [one["id"] for one in project.json("runs", "list", "--json")]
    project.ciplug("registry", "alias", "set", "wine", "champion", "1")
    for alias in ("\uff50roduction", "pr\u043educt\u0456on", "champi\u043en", "champion\u3164", "l\u0430test"):
        done = project.ciplug("registry", "alias", "set", "wine", alias, "1", code=2)
        assert "an alias" in done.stderr or "looks like" in done.stderr
    assert project.json("registry", "show", "wine", "--json")["aliases"] == {"champion": 1}
    project.ciplug("registry", "alias", "set", "wine", "a\u043a\u0442\u0443\u0430\u043b\u044c\u043d\u0430\u044f", "1")
    for name in ("w\u0456ne", "win\u3164e", "\uff57ine"):
        refused = project.ciplug("promote", name, "--to", "staging", "--run", run, code=1).stderr
        assert "looks like the model 'wine'" in refused, refused
    assert [line.split()[0] for line in project.ciplug("registry", "list").stdout.splitlines()[2:]] == ["wine"]
