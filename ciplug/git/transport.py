"""The environment in which git reaches a remote from a repository of ciplug's own."""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import unquote

from ciplug.git.credentials import PASSWORD_IN_URL, authorizes, is_header, redact
from ciplug.git.environment import Config, git_environment
from ciplug.git.safe_directory import safe_settings
from ciplug.git.workspace import of_machine

_TRANSPORT = ("http.", "credential.", "url.", "ssh.", "safe.", "protocol.")
_PROGRAMS = ("credential.", "ssh.", "protocol.")
"""Of these, the settings that have git start a program."""
_TRANSPORT_KEYS = {"core.sshcommand", "core.gitproxy", "core.askpass", "credential.helper"}
_DETOUR = re.compile(r"http\.(?:.*\.)?(?:proxy|curloptresolve|sslverify)", re.DOTALL)
"""The settings that have git connect to another host than that of the address, or to one that it does not check."""


def transport_environment(config: Config, url: str, token: str | None = None) -> dict[str, str]:
    """Return the environment for git in a repository of ciplug's own, with the user's credentials for `url`.

    A checkout may keep its token in a file that is included for that checkout's path only, so the
    resolved values are handed over, and no other configuration is read. A `token` takes the place of
    every stored header: two would be answered with a 400. The password in a URL, which `without_password`
    takes out, is handed over in the same way; a stored header comes before it, as it does for git.
    """
    pairs = [(key, value) for key, value in config if key.startswith(_TRANSPORT) or key in _TRANSPORT_KEYS]
    if token:
        # A checkout can be written by whatever ran in it: no program that its configuration names sees our token.
        pairs = [(k, v) for k, v in pairs if not (k.startswith(_PROGRAMS) or k in _TRANSPORT_KEYS)]
        pairs = _without_detours(pairs)
    in_url = PASSWORD_IN_URL.search(url) if url.startswith("http") else None
    login = ":".join(map(unquote, in_url.groups())) if in_url else None
    if token:
        # GitHub, GitLab and Gitea take any name; Bitbucket this one only.
        user = "x-token-auth" if re.match(r"https?://([^/]*@)?bitbucket\.org/", url) else "x-access-token"
        login = f"{user}:{token}"
        pairs = [(k, v) for k, v in pairs if not is_header(k)]
    site = re.match(r"https?://[^/]+/", redact(url))
    if login and site and not any(authorizes(key, value, redact(url)) for key, value in pairs):
        basic = base64.b64encode(login.encode()).decode()
        pairs.append((f"http.{site[0]}.extraheader", f"Authorization: Basic {basic}"))
    if not any(key == "http.lowspeedlimit" for key, _ in pairs):
        pairs += [("http.lowspeedlimit", "1000"), ("http.lowspeedtime", "60")]
    pairs.append(("core.hookspath", os.devnull))
    # By default git assumes that the remote has only what is at the same path; a fold moves things.
    pairs.append(("pack.usesparse", "false"))
    env = git_environment()
    for key in [k for k in env if k.startswith(("GIT_CONFIG_",))]:
        del env[key]
    env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_COUNT=str(len(pairs)))
    env.update(safe_settings(env, alone=True))
    if token:
        # Nor does a helper for a transport of another kind, to which `url.….insteadOf` could send git.
        env["GIT_ALLOW_PROTOCOL"] = "http:https"
    for number, (key, value) in enumerate(pairs):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    if "GIT_SSH_COMMAND" not in env and "GIT_SSH" not in env and not any(k == "core.sshcommand" for k, _ in pairs):
        env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    return env


def _without_detours(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The settings without those of the checkout itself that would send a token to another host, or through one."""
    if not any(_DETOUR.fullmatch(key) for key, _ in pairs):
        return pairs
    detours = [(key, value) for key, value in of_machine() if _DETOUR.fullmatch(key)]
    return [*((key, value) for key, value in pairs if not _DETOUR.fullmatch(key)), *detours]
