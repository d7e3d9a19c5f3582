"""The environment that git runs in: the caller's own, without the variables of a git hook."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ciplug.git.safe_directory import safe_settings

Config = tuple[tuple[str, str], ...]
"""Every resolved configuration value, in order, as git lists them; keys as git lower-cases them."""

# Variables of git's own that say how to reach a remote. The others (GIT_DIR, GIT_INDEX_FILE, …) are set
# inside hooks and would point us at the wrong repository.
_KEPT = {
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_NO_VERIFY",
    "GIT_TRACE",
    "GIT_TRACE_CURL",
}
_KEPT_PREFIXES = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")


_TOKENS = (
    "CIPLUG_JENKINS_",
    "CIPLUG_INPUT_",
    "CIPLUG_SIGNING_KEY",
    "CIPLUG_MODEL_SIGNING_KEY",
    "CIPLUG_OCI_PASSWORD",
    # The address of a webhook often holds a secret, too.
    "CIPLUG_WEBHOOK_",
    # So runners made from act, such as Gitea's, hand the action's tokens to its steps.
    "INPUT_TOKEN",
    "INPUT_PUSH-TOKEN",
)


def is_token(variable: str) -> bool:
    """Whether a variable holds a secret that was given to ciplug; each forge has a token of its own, CIPLUG_…_TOKEN."""
    return (variable.startswith("CIPLUG_") and variable.endswith("_TOKEN")) or variable.startswith(_TOKENS)


def git_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for git: the caller's own, without the variables of hooks, without prompts.

    Nor has it the tokens that ciplug was given: the configuration and the attributes of a checkout have git start
    programs, such as `core.fsmonitor` and filters.
    """
    env = {
        key: value
        for key, value in os.environ.items()
        if not is_token(key) and (not key.startswith("GIT_") or key in _KEPT or key.startswith(_KEPT_PREFIXES))
    }
    env.update(LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GCM_INTERACTIVE="never")
    env.update(safe_settings(env, alone=False))
    env.update(extra or {})
    return env
