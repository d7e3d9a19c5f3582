"""The stages of a team, and which promotion is one step."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from ciplug.errors import PromotionRefused, Refusal, UsageError
from ciplug.registry.ladder import ARCHIVED, NO_STAGE, Ladder

LADDER = Ladder(("Staging", "Production"))
STAGES = (NO_STAGE, *LADDER.stages, ARCHIVED)
OWN = Ladder(("qa", "Canary", "shadow", "live"))


def read(stage: str) -> str:
    """The name as it comes from a log: equal to ours, and another object."""
    return "".join(list(stage))


@pytest.mark.parametrize("text", ["staging", "Staging", " STAGING "])
def test_stage_names(text: str) -> None:
    assert LADDER.stage(text) == "Staging"


@pytest.mark.parametrize("text", ["prod", "None", "Archived", "", "archived"])
def test_no_stage_to_promote_to(text: str) -> None:
    with pytest.raises(UsageError, match=f"^unknown stage '{text}'\n"):
        LADDER.stage(text)


def test_the_nearest_stage_is_hinted() -> None:
    with pytest.raises(UsageError) as caught:
        LADDER.stage("Prodction")
    assert caught.value.hint == "did you mean 'production'?"


@pytest.mark.parametrize("target", LADDER.stages)
@pytest.mark.parametrize("start", STAGES)
def test_one_stage_at_a_time(start: str, target: str) -> None:
    if (start, target) in (("None", "Staging"), ("Archived", "Staging"), ("Staging", "Production")):
        LADDER.check_promotion("wine", 1, read(start), read(target))
        return
    with pytest.raises(PromotionRefused) as caught:
        LADDER.check_promotion("wine", 1, read(start), read(target))
    assert caught.value.reason is (Refusal.SAME_STAGE if start == target else Refusal.NOT_ADJACENT)


@pytest.mark.parametrize(
    ("start", "target", "message", "hint"),
    [
        ("None", "Production", "version 7 is in no stage, and Production takes only versions from Staging",
         "first: ciplug promote 'wine' --to staging --version 7"),
        ("Production", "Staging", "version 7 is in Production, and Staging takes only new and archived versions",
         "take it down: ciplug demote 'wine' --version 7 --to staging"),
        ("Archived", "Production", "version 7 is in Archived, and Production takes only versions from Staging",
         "first: ciplug promote 'wine' --to staging --version 7; if it was in Production before: "
         "ciplug rollback 'wine' --to production --version 7 --reason TEXT"),
        ("Staging", "Staging", "version 7 is already in Staging",
         "see who moved it: ciplug registry history 'wine'"),
    ],
)  # fmt: skip
def test_what_a_refusal_says(start: str, target: str, message: str, hint: str | None) -> None:
    with pytest.raises(PromotionRefused) as caught:
        LADDER.check_promotion("wine", 7, read(start), read(target))
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_team_s_own_stages() -> None:
    assert OWN.stage("canary") == "Canary"
    assert [OWN.below(stage) for stage in OWN.stages] == [NO_STAGE, "qa", "Canary", "shadow"]
    OWN.check_promotion("wine", 1, NO_STAGE, "qa")
    OWN.check_promotion("wine", 1, "qa", "Canary")
    OWN.check_promotion("wine", 1, "Canary", "shadow")
    OWN.check_promotion("wine", 1, "shadow", "live")
    with pytest.raises(PromotionRefused) as caught:
        OWN.check_promotion("wine", 1, NO_STAGE, "live")
    assert caught.value.hint == "first: ciplug promote 'wine' --to qa --version 1"
    with pytest.raises(PromotionRefused, match="version 1 is in qa, and shadow takes only versions from Canary"):
        OWN.check_promotion("wine", 1, read("qa"), read("shadow"))


def test_a_ladder_is_not_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        OWN.stages = ()  # type: ignore[misc]


def test_a_version_in_a_stage_that_is_not_on_the_ladder_starts_at_the_bottom() -> None:
    ladder = Ladder(("dev", "live"))
    ladder.check_promotion("wine", 1, "Staging", "dev")
    with pytest.raises(PromotionRefused, match="version 1 is in no stage, and live takes only versions from dev"):
        ladder.check_promotion("wine", 1, "Staging", "live")
