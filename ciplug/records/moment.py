"""Points in time as records have them."""

from __future__ import annotations

import re
from datetime import datetime


def parse(text: str) -> datetime:
    """Parse a time in ISO 8601; the result has an offset only if the text has one. Raises ValueError.

    Python 3.10 reads neither `Z` nor fractions of another length than 3 and 6 digits.
    """
    offset = re.sub("[zZ]$", "+00:00", text)
    return datetime.fromisoformat(re.sub(r"(:\d\d\.)(\d+)", lambda found: f"{found[1]}{found[2][:6]:0<6}", offset))
