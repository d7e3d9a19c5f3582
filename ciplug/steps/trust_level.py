"""The level of trust that holds for a store: who can make something count. docs/trust.md describes the levels."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ciplug.errors import CiplugError, listed
from ciplug.steps.job_forge import forge_of
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of
from ciplug.stores import is_git


class Level(NamedTuple):
    """A level, and what shows that it holds."""

    name: Literal["open", "protected", "signed"]
    """open: who can push is trusted with everything. protected: the registry is written by those who may push to
    the branch of the store. signed: only what an allowed signer has signed counts."""
    shown_by: str


def level_of(session: Session) -> Level:
    """The highest level that is shown to hold. The forge is asked, if there is one."""
    if signers := signers_of(session):
        return Level("signed", f"the policy in force names the signers {listed(sorted(signers.keys))}")
    if not is_git(session.store_uri):
        return Level("open", "everyone who can write to the bucket is trusted with everything")
    from ciplug.forges import NoForge

    branch = session.store.address.rpartition("#")[2]
    try:
        forge = forge_of(session)
        protected = None if isinstance(forge, NoForge) else forge.protects(branch)
    except CiplugError as problem:
        return Level("open", f"the forge does not say whether the branch '{branch}' is protected: {problem.message}")
    if protected is None:
        return Level("open", f"nothing shows that the branch '{branch}' is protected: no forge was asked")
    if protected:
        return Level("protected", f"the forge protects the branch '{branch}'")
    return Level("open", f"the forge does not protect the branch '{branch}'")
