"""MLflow's web pages on a ciplug store, walked through by clicks: whoever sees the runs can see all of this."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_mlflow_store import project, ui  # noqa: F401
from tests.e2e.test_mlflow_trainings import python  # noqa: F401
from tests.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
TRAIN = """\
import mlflow
mlflow.set_experiment("cellar")
client = mlflow.MlflowClient()
client.create_registered_model("merlot")
for depth in (3, 6):
    with mlflow.start_run(run_name=f"depth {depth}") as run:
        mlflow.log_param("depth", depth)
        for step in range(5):
            mlflow.log_metric("loss", depth / (step + 1), step=step)
        mlflow.log_metric("accuracy", 0.9 + depth / 100)
        mlflow.log_text("what was tried", "notes/note.txt")
    client.create_model_version("merlot", f"runs:/{run.info.run_id}/notes", run.info.run_id)
client.set_registered_model_alias("merlot", "champion", 2)
"""
_PATIENCE = 60_000


@pytest.fixture
def runs(project: Project, python: Callable[[str], str]) -> None:  # noqa: F811
    subprocess.run([python("newest"), "-c", TRAIN], cwd=project.folder, check=True, timeout=300, capture_output=True)


@pytest.fixture
def page(runs: None, ui: str) -> Iterator[Any]:  # noqa: F811
    """A page of Chromium, in which nothing has failed at the end."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    problems: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900}, base_url=ui)
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: answer.status >= 500 and problems.append(f"{answer.status} {answer.url}"))
        yield page
        browser.close()
    assert problems == []


def test_from_the_experiments_to_the_registry(page: Any, tmp_path: Path) -> None:
    def shows(*texts: str) -> None:
        for text in texts:
            page.get_by_text(text).first.wait_for()
        page.screenshot(path=tmp_path / f"{texts[0]}.png")

    page.goto("/#/experiments")
    page.get_by_role("link", name="cellar").first.click()
    page.get_by_text("Model training").first.click()
    page.get_by_role("link", name="depth 3").first.wait_for()
    page.get_by_role("link", name="depth 6").first.click()
    shows("About this run", "Finished", "merlot")
    page.get_by_role("tab", name="Model metrics").click()
    page.locator(".js-line").first.wait_for()
    shows("depth 6 (loss)", "accuracy", "Step")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("notes").first.click()
    page.get_by_text("note.txt").first.click()
    shows("what was tried")

    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.get_by_role("link", name="depth 3").first.wait_for()
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare").or_(page.get_by_role("link", name="Compare")).first.click()
    shows("Comparing 2 Runs from 1 Experiment", "Parallel Coordinates Plot", "depth 3", "depth 6")

    page.get_by_role("link", name="Model registry").click()
    page.get_by_text("Try it now").click()
    page.locator("a[href='#/models/merlot']").click()
    shows("Version 2", "champion")
    page.get_by_text("Version 2").first.click()
    shows("Source Run")
    page.get_by_role("link", name="depth 6").first.click()
    shows("About this run", "0.96")
