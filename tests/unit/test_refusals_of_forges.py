"""Each kind of refusal is read from the forge's own answer and has a hint of its own."""

from __future__ import annotations

import pytest

from ciplug.errors import ForgeError, ForgeKind, PermissionDenied
from ciplug.forges.base import Place
from ciplug.forges.failures import refusal
from ciplug.forges.refusals import ADVICE, Reply, kind_of

K = ForgeKind
DOCS = "https://docs.github.com"
NAMED = [
    # GitHub
    (
        Reply(403, "Unable to create comment because issue is locked.", f"{DOCS}/articles/locking-conversations/"),
        K.LOCKED,
    ),
    (Reply(403, "", f"{DOCS}/articles/locking-conversations/"), K.LOCKED),
    (
        Reply(
            403,
            "Although you appear to have the correct authorization credentials, the `acme` organization has an IP "
            "allow list enabled, and your IP address is not permitted to access this resource.",
        ),
        K.IP_ALLOW_LIST,
    ),
    (
        Reply(
            403,
            "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to "
            "this organization.",
            f"{DOCS}/articles/authenticating-to-a-github-organization-with-saml-single-sign-on/",
        ),
        K.SSO,
    ),
    (Reply(403, "Forbidden", headers={"x-github-sso": "required; url=https://github.com/orgs/acme/sso"}), K.SSO),
    (Reply(403, "Repository was archived so is read-only."), K.ARCHIVED),
    (Reply(403, "API rate limit exceeded for installation ID 42."), K.RATE_LIMIT),
    (Reply(403, "You have exceeded a secondary rate limit. Please wait a few minutes."), K.RATE_LIMIT),
    (Reply(403, "You have triggered an abuse detection mechanism."), K.RATE_LIMIT),
    (Reply(403, "Forbidden", f"{DOCS}/rest/overview/rate-limits-for-the-rest-api"), K.RATE_LIMIT),
    (Reply(403, "Forbidden", headers={"x-ratelimit-remaining": "0"}), K.RATE_LIMIT),
    (Reply(403, "Resource not accessible by integration", headers={"x-ratelimit-remaining": "0"}), K.PERMISSION),
    (Reply(422, "was submitted too quickly"), K.RATE_LIMIT),
    (Reply(403, "Resource not accessible by integration", f"{DOCS}/rest/issues/comments"), K.PERMISSION),
    (Reply(403, "Resource not accessible by personal access token"), K.PERMISSION),
    (Reply(403, "Must have admin rights to Repository."), K.PERMISSION),
    (Reply(410, "Issues are disabled for this repo"), K.DISABLED),
    (Reply(410, "Issues has been disabled in this repository."), K.DISABLED),
    (Reply(403, "Sorry. Your account was suspended."), K.SUSPENDED),
    (Reply(403, "User is blocked"), K.BLOCKED),
    (Reply(422, "You have been blocked by an owner of this repository"), K.BLOCKED),
    (Reply(451, "Repository access blocked"), K.UNAVAILABLE),
    (Reply(403, "Repository access blocked"), K.UNAVAILABLE),
    (Reply(422, "Body was detected as spam"), K.SPAM),
    (Reply(403, "Interactions on this repository have been restricted to collaborators only"), K.INTERACTION_LIMIT),
    (Reply(403, "`acme` forbids access via a personal access token (classic)."), K.TOKEN_KIND),
    (Reply(403, "The 'acme' organization forbids access via a fine-grained personal access tokens."), K.TOKEN_KIND),
    (Reply(401, "Bad credentials"), K.TOKEN),
    (Reply(404, "Not Found"), K.NOT_FOUND),
    # GitLab
    (Reply(403, "403 Forbidden"), K.PERMISSION),
    (Reply(403, "403 Forbidden - Your account has been blocked."), K.SUSPENDED),
    (Reply(403, "insufficient_scope"), K.PERMISSION),
    (Reply(429, "This endpoint has been requested too many times. Try again later."), K.RATE_LIMIT),
    (Reply(400, "Your note has been recognized as spam."), K.SPAM),
    # Gitea
    (Reply(423, "demo is archived"), K.ARCHIVED),
    (Reply(423, ""), K.ARCHIVED),
    (Reply(403, "You cannot comment on a locked issue."), K.LOCKED),
    (Reply(403, "user has been blocked by the repository owner"), K.BLOCKED),
    (Reply(403, "token does not have at least one of required scope(s): [write:issue]"), K.PERMISSION),
    # Bitbucket
    (Reply(403, "Your credentials lack one or more required privilege scopes."), K.PERMISSION),
    (Reply(403, "To access this repository, an admin must whitelist your IP address."), K.IP_ALLOW_LIST),
    (Reply(403, "This workspace requires two-step verification."), K.TWO_FACTOR),
    # Trouble of the server is not a refusal.
    (Reply(502, "archived, locked, blocked"), K.UNKNOWN),
    (Reply(400, "No"), K.UNKNOWN),
]


@pytest.mark.parametrize(("reply", "kind"), NAMED)
def test_the_kind_is_read_from_the_answer(reply: Reply, kind: ForgeKind) -> None:
    assert kind_of(reply, "acme/demo") is kind


@pytest.mark.parametrize("name", ["locked/archived", "spam/blocked", "saml/ip-address"])
@pytest.mark.parametrize(
    "said", ["No access to {}.", "{} refuses", "`{}` refuses", "the '{}' organization refuses", "not for {}"]
)
def test_names_of_users_decide_nothing(name: str, said: str) -> None:
    for part in (name, *name.split("/")):
        assert kind_of(Reply(403, said.format(part)), name) is K.PERMISSION


HINT = "give the job `permissions: pull-requests: write`"


@pytest.mark.parametrize(("reply", "kind"), NAMED)
def test_the_hint_fits_the_kind(reply: Reply, kind: ForgeKind) -> None:
    error = refusal("GitHub", Place("github", "https://api", "acme/demo", "t"), "comment", reply, HINT)
    assert isinstance(error, ForgeError) and error.kind is kind
    permission = kind in (K.PERMISSION, K.TOKEN, K.NOT_FOUND)
    assert (error.hint == HINT) is permission
    assert isinstance(error, PermissionDenied) is (permission or kind in ADVICE)
    assert "\n" not in error.message


def test_every_kind_has_advice_of_its_own() -> None:
    own = {K.TOKEN, K.PERMISSION, K.NOT_FOUND, K.RATE_LIMIT, K.UNKNOWN}
    assert set(ADVICE) == set(ForgeKind) - own
    assert len({advice.hint for advice in ADVICE.values()}) == len(ADVICE)
    assert not any("pull-requests" in advice.hint for advice in ADVICE.values())
