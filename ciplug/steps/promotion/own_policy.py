"""A model stays with the repository whose policy has promoted it: the policy of another one must not speak for it."""

from __future__ import annotations

from ciplug.console import warning
from ciplug.errors import CiplugError, PromotionRefused, RecordError, Refusal
from ciplug.git.branch_files import tree_of_commit
from ciplug.records import read
from ciplug.records.keys import EntryKey, model_of, parse_entry
from ciplug.records.registry_event import Promote
from ciplug.records.run import Run
from ciplug.records.verdict import Verdict
from ciplug.registry.events import payload_of
from ciplug.registry.model import Model
from ciplug.reports.untrusted import clean
from ciplug.steps.judged_policy import PolicyUnknown, judged_policy
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session

_PROMOTIONS_MOST = 20
"""The last promotions that are compared: one of this repository is enough."""


def check_own_policy(session: Session, model: Model, section: str) -> None:
    """Raise PromotionRefused where only policies of other repositories have promoted versions of the model.

    Args:
        session: goes by the protected policy.
        section: the model whose section of it judges.
    """
    in_force = read_policies(session).find(section)
    foreign: list[tuple[EntryKey, Verdict]] = []
    unread: list[EntryKey] = []
    for place, promotion, verdict in _promotions(session, model):
        if verdict is None:
            unread.append(place)
            continue
        if in_force and verdict.policy_digest == in_force.digest:
            return
        try:
            policy = judged_policy(session, verdict, model_of(place.log), promotion.stage, fetch=True)
        except PolicyUnknown as unknown:
            raise PromotionRefused(
                Refusal.OTHER_POLICY,
                f"it is not known whether this repository has promoted '{model.name}' before: {unknown.message}",
                hint="fetch the history: git fetch --unshallow; and promote again",
            ) from None
        if policy and policy.digest == verdict.policy_digest:
            return
        foreign.append((place, verdict))
    if unread and not foreign:
        raise PromotionRefused(
            Refusal.OTHER_POLICY,
            f"it is not known whether this repository has promoted '{model.name}' before: the store does not have the "
            f"verdict of event {unread[0].seq}",
            hint="see: ciplug fsck",
        )
    if foreign:
        place, verdict = foreign[0]
        commit = (verdict.policy_commit or verdict.commit or "")[:12]
        raise PromotionRefused(
            Refusal.OTHER_POLICY,
            f"'{model.name}' is promoted by the policy of another repository: {clean(verdict.policy_file)} of "
            f"commit {commit}, as event {place.seq} says, and this repository does not have it",
            hint="promote in a checkout of that repository, or under another name; if this repository goes on for "
            "that one, fetch its history here first: git fetch REPOSITORY",
        )


def note_other_commit(session: Session, model: Model, run: Run) -> None:
    """Say that a model's first promotion is of a run that another repository has made."""
    if any(version.passed for version in model.versions) or _has_commit(session, run.commit):
        return
    session.tell(
        warning(
            f"run {run.id[:12]} is of commit {(run.commit or '')[:12]}, which this repository does not have; from now "
            f"on, the policy of this repository promotes '{model.name}'"
        )
    )


def _promotions(session: Session, model: Model) -> list[tuple[EntryKey, Promote, Verdict | None]]:
    """The last promotions by which versions were in a stage, the last first, with their verdicts.

    None for a verdict that the store does not have, or that cannot be read.
    """
    keys = {key for version in model.versions for key in version.passed.values()}
    places = sorted(filter(None, map(parse_entry, keys)), key=lambda place: place.seq, reverse=True)[:_PROMOTIONS_MOST]
    events = session.store.read(place.key for place in places)
    payloads = {place: payload_of(read.registry_event(events[place.key], place.key)) for place in places}
    promotions = {place: one for place, one in payloads.items() if isinstance(one, Promote) and one.verdict}
    data = session.store.read(one.verdict for one in promotions.values() if one.verdict)
    return [(place, one, _verdict_in(data.get(one.verdict or ""), one)) for place, one in promotions.items()]


def _verdict_in(data: bytes | None, promotion: Promote) -> Verdict | None:
    try:
        return read.verdict(data, promotion.verdict or "") if data else None
    except RecordError:
        return None


def _has_commit(session: Session, commit: str | None) -> bool:
    if commit is None:
        return True
    try:
        tree_of_commit(session.need_workspace(), commit, session.env)
    except CiplugError:
        return False
    return True
