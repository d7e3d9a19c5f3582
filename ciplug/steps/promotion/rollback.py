"""Put a version back into a stage that it was promoted to before. No gate is asked: only its bytes must verify."""

from __future__ import annotations

from typing import NamedTuple

from ciplug.errors import PromotionRefused, Refusal, UsageError, listed
from ciplug.records import read
from ciplug.records.registry_moves import Rollback
from ciplug.registry.events import payload_of
from ciplug.registry.ladder import NO_STAGE, Ladder
from ciplug.registry.model import Model, Version
from ciplug.steps.promotion.judging_section import ladder_of
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.promotion.verified_files import verify_files
from ciplug.steps.promotion.writing import Written, write, yanked
from ciplug.steps.registered_model import need_model
from ciplug.steps.session import Session
from ciplug.steps.trust_level import level_of


class RolledBack(NamedTuple):
    """A rollback that the log of the model has accepted."""

    written: Written[Rollback]
    notes: tuple[str, ...] = ()
    """Sentences that a person must see."""


def change_of(name: str, done: RolledBack) -> StageChange | None:
    """What other systems are told of a rollback; None where nothing was written."""
    payload = done.written.payload
    if payload is None:
        return None
    return StageChange(
        kind="rolled_back",
        model=name,
        version=payload.version,
        stage=payload.stage,
        event=done.written.event,
        run=payload.run,
        commit=payload.commit,
        replaced=payload.replaces,
        from_stage=payload.from_stage,
    )


def roll_back(
    session: Session,
    name: str,
    stage_name: str,
    reason: str,
    version: int | None = None,
    *,
    expected: int | None = None,
) -> RolledBack:
    """Bring back the version that held a stage before, or the given one; who holds it now is archived.

    Args:
        expected: the version that is to leave the stage; where another one holds it by then, nothing is written.

    Raises PromotionRefused for a version that was never promoted to this stage, is yanked, or does not verify.
    """
    if not reason.strip():
        raise UsageError("a rollback needs a reason", hint="say why, for the audit trail: --reason TEXT")
    verified: dict[int, tuple[str, str | None, int]] = {}
    notes: list[str] = []

    def make(protected: Session, model: Model) -> Rollback | None:
        need_model(protected, model)
        ladder = ladder_of(protected, model)
        stage = ladder.stage(stage_name)
        present = model.holder(stage)
        if expected is not None and (present is None or present.number != expected):
            return None
        chosen = model.version(version) if version is not None else _before(model, ladder, stage)
        passed = _check(model, chosen, ladder, stage)
        if chosen.number not in verified:
            runs = protected.runs()
            run, files = verify_files(protected, runs, name, chosen)
            verified[chosen.number] = (run.id, run.commit, files)
            if objection := runs.changes(run).objection:
                notes.append(f"run {run.id[:12]} of version {chosen.number} was {objection}")
        run_id, commit, files = verified[chosen.number]
        holder = model.holder(stage)
        level = level_of(protected)
        return Rollback(
            version=chosen.number,
            run=run_id,
            commit=commit,
            stage=stage,
            from_stage=chosen.stage,
            ladder=ladder.stages,
            replaces=holder.number if holder else None,
            reason=reason.strip(),
            passed=passed,
            outcome=_outcome(protected, passed),
            files=files,
            trust=level.name,
            trust_shown_by=level.shown_by,
        )

    return RolledBack(write(session, name, make), tuple(notes))


def _before(model: Model, ladder: Ladder, stage: str) -> Version:
    before = model.before(stage, ladder.above(stage))
    if before is None:
        name, to = model.name, stage.lower()
        holder = model.holder(stage)
        once = [f"v{one.number}" for one in model.versions if stage in one.passed and one.stage != stage]
        ways = []
        if once:
            again = f"ciplug rollback '{name}' --to {to} --version N --reason TEXT"
            ways.append(f"one that was there once ({listed(once)}): {again}")
        if holder:
            ways.append(f"take the version out of it: ciplug demote '{name}' --from {to} --to none")
        raise PromotionRefused(
            Refusal.NOBODY_BEFORE,
            f"no version of '{name}' "
            + (f"held {stage} before the one that holds it now" if holder else f"is left that comes back to {stage}"),
            hint="; or ".join(ways) or f"promote one: ciplug promote '{name}' --to {to} --version N",
        )
    return before


def _check(model: Model, version: Version, ladder: Ladder, stage: str) -> str:
    """Return the key of the promotion that a rollback stands on. Raises PromotionRefused without one."""
    if version.yanked is not None:
        raise yanked(model.name, version)
    if version.stage == stage:
        raise PromotionRefused(
            Refusal.SAME_STAGE,
            f"version {version.number} is already in {stage}",
            hint=f"see who was there before: ciplug registry history '{model.name}'",
        )
    passed = version.passed.get(stage)
    if passed is None:
        raise PromotionRefused(
            Refusal.NEVER_PASSED,
            f"version {version.number} of '{model.name}' was never promoted to {stage}",
            hint=_way_to(model, version, ladder, stage),
        )
    if version.stage in ladder.above(stage):
        # Whoever repairs a lower stage must not empty a higher one on the way.
        raise PromotionRefused(
            Refusal.IN_USE,
            f"version {version.number} of '{model.name}' is in {version.stage}, above {stage}, and stays there",
            hint=f"take it down: ciplug demote '{model.name}' --from {version.stage.lower()} --to {stage.lower()}",
        )
    return passed


def _way_to(model: Model, version: Version, ladder: Ladder, stage: str) -> str:
    """The next promotion on the way of a version into a stage."""
    below = ladder.below(stage)
    steps = [one for one in (below, stage) if one != NO_STAGE and one != version.stage]
    return "promote it: " + "; then ".join(
        f"ciplug promote '{model.name}' --to {one.lower()} --version {version.number}" for one in steps
    )


def _outcome(session: Session, key: str) -> str | None:
    """The word of the verdict by which a version was promoted, from the event of this key."""
    data = session.store.read([key]).get(key)
    payload = payload_of(read.registry_event(data, key)) if data else None
    outcome = getattr(payload, "outcome", None)
    return outcome if isinstance(outcome, str) else None
