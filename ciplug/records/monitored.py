"""What a run of kind `monitor` is about: the version that was watched, and the window of its predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["training", "monitor"]


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """The facts about one window of a version in production. Outcomes are those of `ciplug.records.verdict`."""

    version: int
    stage: str
    """The stage that it was in, as the registry names it, or the name by which it was asked for."""
    since: str
    """The window of the predictions: UTC, ISO 8601. It ends before `until`."""
    until: str
    outcome: str
    """The worst outcome of all gates."""
    performance: str | None = None
    """The worst outcome of the gates on labelled predictions; None: there was none."""
    failed: tuple[str, ...] = ()
    """The gates that failed."""
    failed_on_labels: tuple[str, ...] = ()
    """Those of them that are about labels."""
    policy: str = ""
    """sha256 of the policy whose gates judged."""
    rows: int = 0
    """Predictions of the version in the window."""
    due: int = 0
    """Predictions that labels are due for: those of the window, `label_delay` earlier."""
    labelled: int = 0
    """Those of them that have a label."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why a row of the files did not count → how many of them."""
