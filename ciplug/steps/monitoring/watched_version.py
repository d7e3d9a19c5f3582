"""The version that is watched, and how: by `monitor:` of ciplug.yaml, and the options of the command."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ciplug.capture.prediction_files import Roles, Span, seconds_of
from ciplug.config.monitor import NO_COLUMN, Monitor, seconds
from ciplug.config.policy import Policy
from ciplug.errors import ConfigError, InputError, UsageError
from ciplug.gates.digest import digest_of
from ciplug.records.run import Run
from ciplug.records.verdict import PolicySource
from ciplug.registry.model import Version
from ciplug.registry.resolve import parse_version_name
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.promotion.judging_section import ladder_of
from ciplug.steps.promotion.verified_files import run_of
from ciplug.steps.registered_model import read_model, version_of
from ciplug.steps.session import Session, now
from ciplug.steps.signers import judged_runs

_MISSING_FILE = {
    "predictions": "is the log of the predictions written there, and fetched before this step?",
    "labels": "are the labels written there, and fetched before this step?",
    "results": "does the other tool write its result there, before this step?",
}
"""What to ask where no file of a kind is there."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the options of the command say; None: as `monitor:` does."""

    name: str | None = None
    """MODEL, MODEL@STAGE, MODEL@vN or a models:/ URI; None: the model of ciplug.yaml, in its last stage."""
    predictions: Sequence[str] = ()
    labels: Sequence[str] = ()
    results: Sequence[str] = ()
    reference: str | None = None
    window: str | None = None
    until: str | None = None


@dataclass(frozen=True)
class Watched:
    """A version in production, and how it is watched."""

    session: Session
    model: str
    stage: str
    """As the registry names it, or what was asked for: an alias, or a number."""
    in_stage: bool
    """Whether it was asked for by its stage, so that a rollback can replace it."""
    version: Version
    run: Run
    policy: Policy
    digest: str
    source: PolicySource
    folder: Path
    """Paths of the settings are relative to it."""
    settings: Monitor
    until: float

    @property
    def title(self) -> str:
        return f"{self.model} {self.stage.lower()}"

    @property
    def where(self) -> str:
        """After the version: "in Production", "as champion", or nothing where it is named by its number."""
        if self.in_stage:
            return f"in {self.stage}"
        return "" if self.stage.removeprefix("v").isdecimal() else f"as {self.stage}"

    @property
    def roles(self) -> Roles:
        one = self.settings
        version = None if one.version == NO_COLUMN else one.version
        return Roles(id=one.id, time=one.time, version=version, prediction=one.prediction, label=one.label)

    @property
    def window(self) -> Span:
        return Span(self.until - seconds(self.settings.window), self.until)

    @property
    def due(self) -> Span:
        """The predictions that labels are due for."""
        end = self.until - seconds(self.settings.label_delay)
        return Span(end - seconds(self.settings.window), end)

    def files(self, patterns: Sequence[str], what: str) -> list[Path]:
        """The files of these patterns. Raises InputError where one fits no file."""
        files: list[Path] = []
        for pattern in patterns:
            named = sorted(glob.glob(str(self.folder / pattern), recursive=True))  # noqa: PTH207 (it takes absolute patterns)
            found = [path for one in named if (path := Path(one)).is_file()]
            if not found:
                raise InputError(f"no file of {what} matches '{pattern}'", hint=_MISSING_FILE[what])
            files += found
        return list(dict.fromkeys(files))


def find_watched(session: Session, request: Request) -> Watched:
    """Raises NotFound for a version that does not exist, ConfigError where it is not said how it is watched."""
    model_name, selector = _named(session, request.name)
    model = read_model(session, model_name)
    ladder = ladder_of(session, model)
    selector = selector or ladder.stages[-1]
    version = version_of(session, model, selector, ladder)
    in_stage = version.stage.casefold() == selector.casefold()
    policies = read_policies(session)
    section = policies.own.section_of(model_name)
    policy = section.policy if section else Policy()
    settings = _with_options(policy.monitor or Monitor(), request)
    if not (settings.predictions or settings.results):
        raise ConfigError(
            f"nothing says where the predictions of '{model_name}' are",
            hint="monitor: {predictions: predictions.jsonl} in ciplug.yaml, or --predictions FILE",
        )
    runs = judged_runs(session)
    recorded = runs.evidence(run_of(runs, model.name, version)).run
    until = now().timestamp() if request.until is None else seconds_of(request.until)
    if until is None:
        raise UsageError(f"--until {request.until}: a time is expected", hint="like 2026-11-30T04:00:00Z")
    if until > now().timestamp():
        raise UsageError(f"--until {request.until}: this time is in the future", hint="without --until, it is now")
    names = section.metrics.rename if section else {}
    config = session.config.path
    return Watched(
        session=session,
        model=model_name,
        stage=version.stage if in_stage else selector,
        in_stage=in_stage,
        version=version,
        run=recorded,
        policy=policy.renamed(names),
        digest=digest_of(policy),
        source=policies.own_source,
        folder=config.parent if config else session.cwd,
        settings=settings,
        until=until,
    )


def _named(session: Session, name: str | None) -> tuple[str, str | None]:
    if name is None:
        model = session.config.of(None).model
        if model is None and len(session.config.models) == 1:
            model = next(iter(session.config.models))
        if model is None:
            raise UsageError("no model is named", hint="ciplug monitor models:/MODEL@production")
        return model, None
    parsed = parse_version_name(name)
    return (parsed.model, parsed.selector) if parsed else (name, None)


def _with_options(settings: Monitor, request: Request) -> Monitor:
    from ciplug.config.monitor import parse_duration

    changes: dict[str, object] = {
        name: tuple(given) for name in ("predictions", "labels", "results") if (given := getattr(request, name))
    }
    if request.reference is not None:
        changes["reference"] = request.reference
    if request.window is not None:
        if not parse_duration(request.window):
            raise UsageError(f"--window {request.window}: a time is expected", hint="like 24h, 7d or 2w")
        changes["window"] = request.window.strip()
    return replace(settings, **changes)  # type: ignore[arg-type]
