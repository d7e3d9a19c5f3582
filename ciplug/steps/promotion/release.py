"""Publish a release of a promoted version on the forge."""

from __future__ import annotations

from ciplug._version import __version__
from ciplug.attestation.model_card import page
from ciplug.errors import ForgeError
from ciplug.git.tags import is_tag_name
from ciplug.steps.evidence.attest import facts_of
from ciplug.steps.evidence.version import find_promoted
from ciplug.steps.job_forge import forge_of
from ciplug.steps.promotion.stage_change import StageChange
from ciplug.steps.session import Session


def publish_release(session: Session, change: StageChange) -> str:
    """Publish `MODEL@vN` with the facts about the version; returns its address.

    Raises ForgeError where there is no forge, it refuses, or the version has no commit or no name that a tag can have.
    """
    from ciplug.forges import NoForge

    forge = forge_of(session)
    if isinstance(forge, NoForge):
        raise ForgeError(forge.message, hint=forge.hint)
    tag = f"{change.model}@v{change.version}"
    if change.commit is None:
        raise ForgeError("the version has no commit")
    if not is_tag_name(tag):
        raise ForgeError(f"'{tag}' cannot be the name of a tag", hint="rename the model, without spaces and ~^:?*[\\")
    fresh = session.refreshed()
    facts = facts_of(fresh, fresh.runs(), find_promoted(fresh, f"{change.model}@v{change.version}"))
    title = f"{change.model} version {change.version}"
    return forge.publish_release(tag, change.commit, title=title, body=f"{page(facts)}\nciplug {__version__}\n")
