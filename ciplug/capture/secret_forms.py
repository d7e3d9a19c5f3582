"""The forms of secrets that show themselves: tokens of well-known services, keys, passwords in addresses. Pure.

Sources: the services' documentation of their token formats; RFC 7519 (JWT), RFC 7468 (private keys), RFC 3986, 3.2.1
(passwords in addresses).
"""

from __future__ import annotations

import re

PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----[^-]*(?:-----END (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)?"
)
"""The only one that spans lines."""
FORMS = tuple(
    re.compile(form)
    for form in (
        # Forges, registries of packages and of images.
        r"\bgh[pousr]_[A-Za-z0-9]{20,255}",
        r"\bgithub_pat_\w{22,255}",
        r"\bgl(?:pat|ptt|dt|rt|rtr|soat|cbt|agent|ft|imt|oas|ffct|wt)-[\w-]{16,255}(?:\.\w+)*",
        r"\bGR1348941[\w-]{16,64}",
        r"\bATATT3[\w=-]{40,255}",
        r"\bATBB[A-Za-z0-9]{24,64}",
        r"\bnpm_[A-Za-z0-9]{36}",
        r"\bpypi-[\w-]{50,}",
        r"\bdckr_[po]at_[\w-]{20,64}",
        # Clouds.
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        r"\bAIza[\w-]{35}",
        r"\bya29\.[\w-]{20,}",
        r"\b1//0[\w-]{30,255}",
        r"\bGOCSPX-[\w-]{20,}",
        r"(?<![\w~.])[\w~.]{3}[78]Q~[\w~.-]{31,34}",
        r"\bdo[opr]_v1_[a-f0-9]{64}",
        r"\bhv[sbr]\.[\w-]{24,255}",
        r"\bAGE-SECRET-KEY-1[A-Z0-9]{40,80}",
        r"(?i)(?<=accountkey=)[A-Za-z0-9+/]{40,}={0,2}",
        r"(?i)(?<=[?&;]sig=)[\w%+/=~-]{6,}",
        r"(?i)(?<=[?&;]signature=)[\w%+/=~-]{6,}",
        r"(?i)(?<=[?&;]x-amz-signature=)[\w%+/=~-]{6,}",
        r"(?i)(?<=[?&;]x-goog-signature=)[\w%+/=~-]{6,}",
        r"(?i)(?<=[?&;]x-amz-security-token=)[\w%+/=.~-]{6,}",
        # Machine learning.
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bapi_org_[A-Za-z0-9]{30,}",
        r"\bsk-(?:[a-z]{2,4}-)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
        # Not words with hyphens between them, such as the name of a model.
        r"\bsk-(?![a-z0-9]{1,15}(?:[-_][a-z0-9]{1,15}){0,12}(?![\w-]))(?:proj-|ant-|svcacct-|admin-)?[\w-]{20,}",
        r"\bgsk_[A-Za-z0-9]{40,64}",
        r"\br8_[A-Za-z0-9]{37}",
        r"\bwandb_v\d+_\w{20,255}",
        r"\bdapi[a-f0-9]{32}(?:-\d)?\b",
        r"\bKGAT_[A-Za-z0-9]{30,64}",
        r"\bpcsk_\w{30,255}",
        # Chats, payments, mail, monitoring.
        r"\bxox[abeoprs]-[\w-]{10,}",
        r"\bxapp-\d-[\w-]{20,}",
        r"\bhooks\.slack\.com/services/[\w/]{20,}",
        r"\bdiscord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}",
        r"\b\d{8,10}:AA[\w-]{32,34}",
        r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bwhsec_[A-Za-z0-9+/=]{20,}",
        r"\bSG\.[\w-]{20,}\.[\w-]{20,}",
        r"\bgl(?:sa|c)_[\w=+/-]{20,255}",
        r"\bNRAK-[A-Z0-9]{27}",
        r"\bntn_[A-Za-z0-9]{40,64}",
        r"\blin_api_[A-Za-z0-9]{32,64}",
        # Any service.
        r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
        r"(?<=://)[^/\s:@]*:[^/\s]+(?=@)",
        r"(?<=://)(?=[^/\s:@]*\d)(?=[^/\s:@]*[A-Za-z])[^/\s:@]{16,255}(?=@)",
        r"(?i)(?<=bearer )[\w.=+/~-]{8,}",
        r"(?i:(?<=basic ))(?![A-Za-z]?[a-z]+(?![\w+/=]))[A-Za-z0-9+/]{12,}={0,2}",
        r"(?i)(?<=authorization: token )[^\s'\"]{6,}",
        r"(?i)(?<=cookie: )[^\s=;,'\"]+[=;][^'\"\r\n]+",
    )
)
PROGRAM_OPTIONS = tuple(
    re.compile(option)
    for option in (
        r"\b(?P<kept>machine\s+\S{1,200}\s+login\s+\S{1,200}\s+password\s+)(?P<value>\S+)",
        r"(?:(?<=\s)|^)(?P<kept>(?:-u|--user|--proxy-user|--auth)[\s=]?['\"]?(?!\d+:\d+(?:\s|$))[\w.@+-]+:)"
        r"(?P<value>(?![/\\])[^\s'\"]+)",
        r"(?<![\w.-])(?P<kept>(?:mysql|mariadb|mycli|sshpass|7z)[\w-]*(?=\s)[^;|&\n]{0,200}?\s-p['\"]?)(?P<value>[^\s'\"]+)",
        r"(?<![\w.-])(?P<kept>(?:sshpass|login|mongo|mongosh|mongodump)(?=\s)[^;|&\n]{0,200}?\s-p\s['\"]?)"
        r"(?P<value>[^\s'\"]+)",
        r"(?<![\w.-])(?P<kept>redis-cli(?=\s)[^;|&\n]{0,200}?\s-a\s['\"]?)(?P<value>[^\s'\"]+)",
        r"(?<![\w.-])(?P<kept>curl(?=\s)[^;|&\n]{0,200}?\s-b\s?['\"]?[^\s=;'\"]+=)(?P<value>[^'\"\s]+)",
    )
)
"""Passwords in options without a name of their own: `curl -u ann:…`, `mysql -p…`, `docker login -p …`."""
