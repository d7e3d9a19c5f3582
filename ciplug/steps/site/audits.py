"""The audits of the gates for the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.config import DEFAULT_MODEL
from ciplug.errors import CiplugError
from ciplug.gates.audit_text import HEADERS, row_of
from ciplug.reports.site.pages import AuditTable
from ciplug.steps.audit import audit_gates
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.catalog import Catalog


def audit_tables(session: Session, catalog: Catalog, branch: str | None) -> list[AuditTable]:
    """The audit of each model that ciplug.yaml has gates for; of one that cannot be audited, why."""
    tables = []
    for section in session.config.sections():
        name = section.model or session.config.model or DEFAULT_MODEL
        if not section.policy.gates:
            continue
        try:
            audit = audit_gates(session, catalog, name, branch)
        except CiplugError as problem:
            tables.append(AuditTable(model=name, problem=problem.message))
            continue
        tables.append(
            AuditTable(
                model=audit.model,
                policy=str(audit.policy),
                replayed=audit.replayed,
                headers=HEADERS,
                rows=[row_of(one) for one in audit.gates],
                not_replayed=audit.not_replayed,
            )
        )
    return tables
