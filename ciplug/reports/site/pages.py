"""The pages of a site: what they print is escaped, and scripts come from the site alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import quote

from ciplug.errors import counted
from ciplug.reports import untrusted
from ciplug.reports.pages import template

PAGES = {
    "index": "Overview",
    "runs": "Runs",
    "history": "History",
    "registry": "Registry",
    "gates": "Gates",
}
"""Page → its name."""
STATIC = ("uplot.js", "uplot.css", "uplot.LICENSE.txt", "core.js", "charts.js", "search.js", "chosen.js", "runs.js")
_HISTORY = ("history.js",)


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    name: str
    shown: str
    """The name as the other pages have it."""
    runs: int
    last: str
    """When its last run started; empty where it has none."""
    last_run: str | None
    counting: str | None
    """The last run that counts for its commit."""
    metrics: Sequence[tuple[str, str]]
    """The metrics of that run, those with gates first."""
    versions: str
    has_history: bool = False
    """The versions in stages, in one clause."""


@dataclass(frozen=True, kw_only=True)
class BranchRow:
    name: str
    runs: int
    last: str


@dataclass(frozen=True, kw_only=True)
class RegistryModel:
    """A model of the registry."""

    name: str
    problem: str | None = None
    """Why nothing is known of it."""
    description: str = ""
    tags: Sequence[str] = ()
    versions: Sequence[dict[str, Any]] = ()
    """The newest first."""
    event_headers: Sequence[str] = ()
    events: Sequence[Sequence[str]] = ()
    """The newest first."""
    earlier: int = 0
    """Events before them."""
    notes: Sequence[str] = ()

    @property
    def has_aliases(self) -> bool:
        return any(one["aliases"] for one in self.versions)

    @property
    def has_notes(self) -> bool:
        return any(one["yanked"] is not None or one["description"] for one in self.versions)


@dataclass(frozen=True, kw_only=True)
class AuditTable:
    """The audit of the gates of a model."""

    model: str
    problem: str | None = None
    """Why there is none."""
    policy: str = ""
    replayed: str = ""
    """The runs that it looks at, in one clause."""
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    not_replayed: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Site:
    title: str
    runs: int
    models: Sequence[ModelRow]
    branches: Sequence[BranchRow]
    registry: Sequence[RegistryModel]
    audits: Sequence[AuditTable]
    notes: Sequence[str]
    details: int
    """How many of the last runs have details."""


def render(site: Site) -> Iterator[tuple[str, bytes]]:
    """File → content of every page."""
    for name in PAGES:
        page = template(f"site_{name}.html.jinja")
        text = page.render(
            site=site,
            here=name,
            pages=PAGES,
            title=untrusted.clean(site.title, 120),
            fragment=_fragment,
            counted=counted,
        )
        yield f"{name}.html", text.encode("utf-8", "replace")


def _fragment(**values: str | None) -> str:
    """The part of an address behind `#`, with what a page shall show first."""
    return "&".join(f"{name}={quote(value or '', safe='', errors='replace')}" for name, value in values.items())


def static_files() -> Iterator[tuple[str, bytes]]:
    """File → content of what is the same in every site."""
    own = resources.files("ciplug.reports.site") / "static"
    for name in (*STATIC, *_HISTORY):
        yield f"assets/{name}", (own / name).read_bytes()
    styles = [
        (resources.files("ciplug.reports") / "templates" / "style.css").read_bytes(),
        (own / "site.css").read_bytes(),
    ]
    yield "assets/site.css", b"".join(styles)
    yield ".nojekyll", b""
