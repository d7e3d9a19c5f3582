"""Templates of HTML pages: what they print is escaped, and made visible where it is not."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ciplug.reports import untrusted

if TYPE_CHECKING:
    from jinja2 import Template


@functools.cache
def template(name: str) -> Template:
    """A template of ciplug's."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def visible(value: Any) -> Any:
        return untrusted.clean(value, 2000) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("ciplug.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
