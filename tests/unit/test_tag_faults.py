"""Tags beside the log that they mirror: which of them speak against it."""

from __future__ import annotations

import pytest

from ciplug.registry.evidence_chain import Fault
from ciplug.registry.tag_faults import DueTag, FoundTag, WrongTag, claim_of, tag_faults

EVENTS = [f"sha256:{number:064}" for number in range(1, 4)]


def text(seq: int, event: str, model: str = "m") -> bytes:
    claim = f"event {seq} of {model}\n\nA mirror.\n\nCiplug-Event: {event}\n"
    return f"object aa\ntype commit\ntag x\ntagger t <t> 1 +0000\n\n{claim}".encode()


DUE = {"m@v1": DueTag("aa", EVENTS[0], text(1, EVENTS[0])), "m#p#3": DueTag("aa", EVENTS[2], text(3, EVENTS[2]))}
SOUND = {name: FoundTag("aa", due.content) for name, due in DUE.items()}
OTHER = f"sha256:{9:064}"


@pytest.mark.parametrize(
    ("name", "found", "fault"),
    [
        ("m@v1", FoundTag("aa", DUE["m@v1"].content + b"-----BEGIN SSH SIGNATURE-----\n"), None),
        ("m@v1", FoundTag("aa", None), None),
        ("m@v1", FoundTag("bb", b""), Fault.TAG_ELSEWHERE),
        ("m@v1", FoundTag("bb", text(1, EVENTS[0])), Fault.TAG_ELSEWHERE),
        ("m@v1", FoundTag("aa", b""), Fault.TAG_OTHER_TEXT),
        ("m@v1", FoundTag("aa", text(2, EVENTS[0])), Fault.TAG_OTHER_TEXT),
        ("m@v1", FoundTag("aa", text(1, OTHER, model="n")), Fault.TAG_OTHER_TEXT),
        ("m@v1", FoundTag("aa", DUE["m@v1"].content + b"more"), Fault.TAG_OTHER_TEXT),
        ("m@v1", FoundTag("aa", text(1, OTHER)), Fault.TAG_OTHER_EVENT),
        ("m@v1", FoundTag("bb", text(1, OTHER)), Fault.TAG_OTHER_EVENT),
        ("m@v1", FoundTag("aa", text(9, OTHER)), Fault.TAG_OTHER_EVENT),
        ("m@v1", FoundTag("aa", text(2, EVENTS[1])), Fault.TAG_OTHER_EVENT),
        ("m@v9", FoundTag("aa", b""), Fault.TAG_OF_NO_EVENT),
        ("m@v9", FoundTag("aa", b"\n\nrelease 9\n"), Fault.TAG_OF_NO_EVENT),
        ("m@v9", FoundTag("aa", text(2, EVENTS[1])), Fault.TAG_OF_NO_EVENT),
        ("m@v9", FoundTag("aa", text(2, OTHER)), Fault.TAG_OTHER_EVENT),
        ("m@v9", FoundTag("aa", text(4, OTHER)), Fault.TAG_BEYOND_LOG),
    ],
)
def test_a_tag_beside_the_log(name: str, found: FoundTag, fault: Fault | None) -> None:
    wrong = tag_faults("m", DUE, {**SOUND, name: found}, EVENTS, every=True)
    assert [(one.fault, one.name) for one in wrong] == ([(fault, name)] if fault else [])


def test_contradictions_come_first_and_what_is_missing_last() -> None:
    found = {"m@v8": FoundTag("bb", b""), "m@v9": FoundTag("aa", text(7, OTHER)), "m@v1": SOUND["m@v1"]}
    beyond, stray = WrongTag(Fault.TAG_BEYOND_LOG, "m@v9", 7), WrongTag(Fault.TAG_OF_NO_EVENT, "m@v8")
    assert tag_faults("m", DUE, found, EVENTS, every=False) == [beyond, stray]
    assert tag_faults("m", DUE, found, EVENTS, every=True) == [beyond, stray, WrongTag(Fault.TAG_MISSING, "m#p#3")]


@pytest.mark.parametrize("content", [b"", text(0, OTHER), text(1, "sha256:1"), text(1, OTHER, "n"), b"\xff" * 99])
def test_what_is_no_claim(content: bytes) -> None:
    assert claim_of("m", content) is None
