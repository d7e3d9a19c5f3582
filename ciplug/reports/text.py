"""Words and numbers for the eye, the same in every rendering of a report."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from ciplug.records import moment

if TYPE_CHECKING:
    from ciplug.records.comparison import MetricDelta, Side
    from ciplug.records.run import Scalar
    from ciplug.records.verdict import GateResult, Outcome, Verdict

NAME_LIMIT = 250
PROSE_LIMIT = 600
ABSENT = "–"

OUTCOME_ICONS: dict[Outcome, str] = {
    "PASS": "✅",
    "WARN": "⚠️",
    "FAIL": "❌",
    "INCONCLUSIVE": "❓",
    "ERROR": "⛔",
}
OUTCOME_WORDS: dict[Outcome, str] = {
    "PASS": "passed",
    "WARN": "passed with warnings",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "ERROR": "error",
}
OUTCOME_ADJECTIVES: dict[Outcome, str] = {
    "PASS": "passed",
    "WARN": "warning",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "ERROR": "error",
}
"""Of one check."""
OUTCOME_COUNTS: dict[Outcome, str] = {
    "ERROR": "in error",
    "FAIL": "failed",
    "INCONCLUSIVE": "inconclusive",
    "WARN": "warned",
    "PASS": "passed",
}

# --- numbers


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits, more where fewer would turn it into a whole number."""
    if value == math.trunc(value):
        return 0
    for wanted in range(digits, 18):
        shown = Decimal(f"{value:.{wanted}g}").normalize()
        if shown != shown.to_integral_value():
            break
    exponent = shown.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _is_plain(value: float) -> bool:
    return value == 0 or 1e-4 <= abs(value) < 1e15


def _by_name(value: float) -> str:
    return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def number(value: float, digits: int = 4) -> str:
    """The value to about `digits` significant digits, without losing its meaning.

    Whole numbers are shown whole, 0.99999 never becomes 1, and what is no finite number has a name.
    """
    if not math.isfinite(value):
        return _by_name(value)
    if not _is_plain(value):
        return f"{value:.{digits}g}"
    return f"{value:.{_decimals(value, digits)}f}"


def common_decimals(values: Sequence[float]) -> int | None:
    """Decimals at which all the finite values stay different from one another; None where no number suits all."""
    finite = {v for v in values if math.isfinite(v)}
    if not all(map(_is_plain, finite)):
        return None
    for digits in range(4, 18):
        decimals = max((_decimals(v, digits) for v in finite), default=0)
        if len({f"{v:.{decimals}f}" for v in finite}) == len(finite):
            spread = max(map(abs, finite), default=0) >= 1e5
            return None if decimals > 8 and spread else decimals
    return None


def numbers(values: Sequence[float | None]) -> list[str]:
    """One text a value, as precise as it takes to tell different values apart; None becomes a dash."""
    present = [v for v in values if v is not None]
    decimals = common_decimals(present)
    if decimals is not None:
        return [ABSENT if v is None else fixed(v, decimals) for v in values]
    distinct = len({v for v in present if math.isfinite(v)})
    for digits in range(4, 18):
        texts = [ABSENT if v is None else number(v, digits) for v in values]
        shown = {t for t, v in zip(texts, values, strict=True) if v is not None and math.isfinite(v)}
        if len(shown) == distinct:
            break
    return texts


def fixed(value: float, decimals: int) -> str:
    """The value with that many decimals, or its name when it is no finite number."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else _by_name(value)


def signed(text: str, value: float) -> str:
    """The text of a number's magnitude with its sign before it: a real minus, as wide as the plus."""
    return ("−" if value < 0 else "+") + text.removeprefix("-")


def percent(relative: float) -> str:
    """A relative change in percent with its sign, to two or three significant digits."""
    value = abs(relative) * 100
    if value < 0.001:
        return "≈0%"
    if value < 100:
        text = f"{value:.2g}" if value < 10 else f"{value:.3g}"
    else:
        text = f"{value:.0f}" if value < 1e6 else f"{value:.1e}"
    return signed(text, relative) + "%"


def change(delta: MetricDelta) -> str:
    """The change in the metric's unit and in percent: "+0.0042 (+0.46%)"; "new", "missing", "n/a", "0"."""
    if delta.trend in ("new", "missing"):
        return delta.trend
    if delta.trend == "undefined" or delta.change is None:
        return "n/a"
    if delta.trend == "unchanged":
        return "0" if delta.change == 0 else "≈0"
    decimals = common_decimals(list(delta.values.values()))
    magnitude = abs(delta.change)
    text = f"{magnitude:.3g}" if decimals is None else fixed(magnitude, decimals)
    absolute = signed(text, delta.change)
    return absolute if delta.relative is None else f"{absolute} ({percent(delta.relative)})"


def judgement(delta: MetricDelta) -> str:
    """Where the value went, and whether that is good: "▲ better"; the arrow alone where nobody said what is good.

    "= unchanged", "not a number"; empty for a metric that only one of the two runs has.
    """
    if delta.trend == "unchanged":
        return "= unchanged"
    if delta.trend == "undefined":
        return "not a number"
    if delta.change is None:
        return ""
    arrow = "▲" if delta.change > 0 else "▼"
    return f"{arrow} {delta.trend}" if delta.trend in ("better", "worse") else arrow


_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 20) -> str:
    """The last `width` values as block characters: a dot where there is no finite number, flat when constant.

    Empty for fewer than two values: one is no trend.
    """
    values = values[-width:] if len(values) > 1 else ()
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    # Halves, since the difference of two large floats may overflow.
    span = high / 2 - low / 2

    def block(value: float) -> str:
        if not math.isfinite(value):
            return "·"
        if span == 0:
            return "▄"
        return _BLOCKS[min(7, int((value / 2 - low / 2) / span * 8))]

    return "".join(map(block, values))


# --- words


def plural(count: int, noun: str) -> str:
    """ "1 metric", "2 metrics"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def short_commit(commit: str) -> str:
    """The first 8 digits of a commit's id."""
    return commit[:8]


def older(recorded: str | None, than: str | None) -> str:
    """How much older one record is than another, by their own times (ISO 8601): "3 days older", "2 hours newer".

    Empty within two minutes, and where a time is unknown. Never by the clock of who reads: a report says the same
    whenever it is made.
    """
    try:
        seconds = (moment.parse(than or "") - moment.parse(recorded or "")).total_seconds()
    except (ValueError, TypeError):
        return ""
    word = "older" if seconds > 0 else "newer"
    minutes = int(abs(seconds) // 60)
    if minutes < 2:
        return ""
    if minutes < 60:
        return f"{minutes} minutes {word}"
    hours = minutes // 60
    return f"{plural(hours, 'hour') if hours < 24 else plural(hours // 24, 'day')} {word}"


def scalar(value: Scalar | None) -> str:
    """A parameter's value; a dash for one that is not there."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The parameter as it was given, not rounded: 1e-05 is a setting, not a measurement.
        return repr(value)
    return '""' if value == "" else str(value)


def duration(seconds: float | None) -> str | None:
    """ "1 h 02 min", "3 min 12 s", "4.2 s"; None stays None."""
    if seconds is None or not math.isfinite(seconds):
        return None
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int | None) -> str | None:
    """Bytes for the eye: "1.5 GiB"; None stays None."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def tally(verdict: Verdict) -> str:
    """How many checks ended how, the worst first: "1 failed, 2 passed"."""
    counts = ((word, sum(g.outcome == outcome for g in verdict.gates)) for outcome, word in OUTCOME_COUNTS.items())
    return ", ".join(f"{n} {word}" for word, n in counts if n)


def headline(outcome: Outcome | None, verdict: Verdict | None) -> tuple[str, str]:
    """Icon and words for the verdict on one model; an outcome without a verdict is a policy that cannot be asked."""
    if outcome is None:
        return "📊", "compared, not judged"
    words = OUTCOME_WORDS[outcome] if verdict else "not judged"
    return OUTCOME_ICONS[outcome], f"{words} (dry run)" if verdict and verdict.dry_run else words


def footnotes(gate: GateResult, baseline: str | None = None) -> list[str]:
    """What stands below the reason of a check: how it was compared and with which run, what else, what to do.

    `baseline` is the run that the report names as the baseline anyway.
    """
    decided = []
    if gate.outcome != "PASS" and gate.baseline_label and (gate.baseline_run is None or gate.baseline_run != baseline):
        decided.append(
            f"against {gate.baseline_label}" + (f", run {gate.baseline_run[:8]}" if gate.baseline_run else "")
        )
    if gate.method and gate.method not in gate.reason and (gate.confidence is not None or gate.outcome != "PASS"):
        decided.append(gate.method)
        decided += [f"n = {gate.n:,}"] if gate.n is not None else []
        decided += [f"p = {gate.p:.2g}"] if gate.p is not None else []
    lines = [", ".join(decided)] if decided else []
    lines += gate.notes
    if gate.advice and gate.outcome != "PASS":
        lines.append(f"→ {gate.advice}")
    return lines


def side_clause(side: Side, candidate: Side) -> str:
    """How a side was chosen, and how much older than the candidate it is, one clause."""
    return ", ".join(part for part in (side.how, older(side.recorded, candidate.recorded)) if part)


# --- untrusted text

_INVISIBLE = "\u200b"
_NONCHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")
_REFERENCE = re.compile(
    # Mentions and references of GitHub and GitLab; then addresses, :emoji:, GH-1 and the keys of trackers like Jira.
    r"(?<=@)|(?<=[#!~%&$^\[])(?=[\w\"'])|(?<=\*)(?=iteration)|(?<=:)(?=//)|(?<=[wW]{3})(?=\.)|(?<=:)(?=[\w+-]+(?::|$))"
    r"|(?<=[{\[])(?=[+-])"
    r"|(?<=[A-Z]-)(?=\d)|(?<=[A-Z]\d-)(?=\d)|(?<=[gG][hHlL]-)(?=\d)"
)
_COMMIT = re.compile(r"(?<!\w)(?<!\d\.)(?=\d*[a-fA-F])[0-9a-fA-F]{7,64}(?!\w)")
"""What a forge takes for the id of a commit; the decimals of a number are none."""
_ENTITIES = {c: f"&#{ord(c)};" for c in "|\\`$"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ACTIVE = re.compile(r"[|\\`$&<>]|[*\[\]~#!]|(?<![^\W_])_|_(?![^\W_])|^[-+](?=[\s-]|$)")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def clean(text: str, limit: int = PROSE_LIMIT) -> str:
    """One line of visible text: white space collapsed, control and bidi characters shown as �, long text cut."""
    if not (text.isascii() and text.isprintable()):
        text = " ".join(text.split())
        text = "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in text)
        text = _NONCHARACTERS.sub("�", text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escape_markdown(text: str, limit: int = PROSE_LIMIT) -> str:
    """Text that means only itself in Markdown, in a table cell too.

    Mentions, issue references and addresses are broken by an invisible space, since forges look for them in
    the rendered text, where no escape is left. What may be a commit's id becomes code, where they do not look.
    """
    text = _REFERENCE.sub(_INVISIBLE, clean(text, limit))
    text = _ACTIVE.sub(lambda m: _ENTITIES.get(m[0], "\\" + m[0]), text)
    return _NUMBERED.sub(r"\1\\\2", _COMMIT.sub(r"`\g<0>`", text))


def code_markdown(name: str, limit: int = NAME_LIMIT) -> str | None:
    """A name as a code span, from which it can be copied as it is; None for one that no table's cell can hold so."""
    name = clean(name, limit)
    return f"`{name}`" if name and not set(name) & set("`|\\") else None


def defuse(lines: str) -> str:
    """Lines for a CI log in which no runner finds a command: `::` and `##` are broken by an invisible space."""
    return re.sub("(?<=:)(?=:)|(?<=#)(?=#)", _INVISIBLE, lines)


_URL = re.compile(r"https?://[^/?#\s]+.*", re.DOTALL | re.IGNORECASE)
_URL_UNSAFE = re.compile(r"[^A-Za-z0-9\-._~:/?#@!$&*+,=%]")


def safe_url(url: str) -> str | None:
    """The address with all that is special to HTML or Markdown percent-encoded; None unless it is http(s)."""
    if not _URL.fullmatch(url):
        return None
    return _URL_UNSAFE.sub(lambda m: "".join(f"%{b:02X}" for b in m[0].encode("utf-8", "replace")), url)
