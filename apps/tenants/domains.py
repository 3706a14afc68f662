"""Names of hosts and mail domains: the one spelling that counts, and which nobody can have.

Whether a name is somebody's is said by a TXT record that only its owner can publish. What is
refused here is what no record could make right: names that mean something else, or everybody's.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from typing import Final

import idna
from django.conf import settings

from apps.common.errors import Invalid

HOST: Final = "host"
MAIL: Final = "mail"
CHALLENGE_LABEL: Final = "_mandate-challenge"
VALUE_PREFIX: Final = "mandate-verification="
NAME_MAX: Final = 253 - len(CHALLENGE_LABEL) - 1
"""The longest name below which the challenge's own name fits (RFC 1035 §2.3.4)."""

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names of no owner: this machine's, the link's, those that never resolve (RFC 6761, 6762, 7686).
_SPECIAL: Final = frozenset({"localhost", "local", "invalid", "onion", "arpa"})
# What registries of countries call their own second level, below which people register: co.uk.
_SECOND_LEVELS: Final = frozenset(
    "ac co com edu go gob gov gouv mil ne net nom or org sch".split()  # noqa: SIM905
)
# Hosts of hosts: each label below belongs to another customer. Only their operators could publish
# the record, so this list need not be whole; it gives the clear answer where people try.
_SHARED_SUFFIXES: Final = frozenset(
    """
    amazonaws.com appspot.com azurewebsites.net blogspot.com cloudfront.net firebaseapp.com fly.dev
    github.io gitlab.io herokuapp.com netlify.app ngrok.io ngrok-free.app onrender.com pages.dev
    vercel.app web.app workers.dev
    """.split()  # noqa: SIM905
)
_MAIL_PROVIDERS: Final = frozenset(
    """
    126.com 163.com aol.com att.net btinternet.com comcast.net daum.net duck.com fastmail.com
    free.fr gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hanmail.net hey.com
    hotmail.co.uk hotmail.com hotmail.de hotmail.fr icloud.com laposte.net libero.it live.com
    mac.com mail.com mail.ru mailinator.com me.com msn.com naver.com o2.pl orange.fr outlook.com
    pm.me proton.me protonmail.com qq.com rediffmail.com rocketmail.com seznam.cz sina.com
    t-online.de tuta.com tutanota.com verizon.net web.de wp.pl yahoo.co.jp yahoo.co.uk yahoo.com
    yahoo.de yahoo.fr yandex.com yandex.ru ymail.com zoho.com
    """.split()  # noqa: SIM905
)


def check_name(kind: str, text: str) -> str:
    """The name as it is kept: lower-case A-labels, no trailing dot. Raises Invalid."""
    return check_mail_domain(text) if kind == MAIL else check_host(text)


def check_host(text: str) -> str:
    """A host that an org may bring."""
    name = normal(text)
    _refuse_ours(name)
    _refuse_everybodys(name)
    return name


def check_mail_domain(text: str) -> str:
    """A domain whose addresses may be an org's people's."""
    name = check_host(text.strip().removeprefix("@"))
    if name in _MAIL_PROVIDERS:
        raise _bad(f"Everybody can have an address at {name}. Use a domain of your own.")
    return name


def normal(text: str) -> str:
    """One spelling for each name (IDNA 2008 with the mapping of UTS 46)."""
    wanted = text.strip()
    if not wanted or any(mark in wanted for mark in "/\\@?# \t") or len(wanted) > 253:
        raise _bad("Give a name such as agents.example.com, without https:// or a path.")
    if _is_address(wanted):
        raise _bad("Give a name. An IP address belongs to nobody that could prove it.")
    if ":" in wanted:
        raise _bad("Leave the port away. A name is proved whole.")
    try:
        name = idna.encode(wanted, uts46=True).decode().lower().removesuffix(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise _bad("This is not a valid host name.") from error
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(name) > NAME_MAX:
        raise _bad("This is not a valid host name.")
    if _NUMBER.fullmatch(labels[-1]):  # browsers take it for an IP address (WHATWG URL §3.5)
        raise _bad("Give a name. An IP address belongs to nobody that could prove it.")
    return name


def new_challenge() -> str:
    """What one org has to publish for one name; it counts for no other."""
    return secrets.token_urlsafe(24)


def record_name(kind: str, name: str) -> str:
    """Where the TXT record stands: at a mail domain itself, below a host."""
    return name if kind == MAIL else f"{CHALLENGE_LABEL}.{name}"


def record_value(challenge: str) -> str:
    return f"{VALUE_PREFIX}{challenge}"


def is_below_apex(host: str) -> bool:
    """Whether a host is the product's own, so that no org brought it."""
    return host == settings.APEX_HOST or host.endswith(f".{settings.APEX_HOST}")


def _refuse_ours(name: str) -> None:
    if is_below_apex(name) or settings.APEX_HOST.endswith(f".{name}"):
        raise _bad("This name belongs to Mandate itself. Use a domain of your own.")


def _refuse_everybodys(name: str) -> None:
    first, _, rest = name.partition(".")
    if not rest or name.rpartition(".")[2] in _SPECIAL:
        raise _bad("Give a whole name of the internet, such as agents.example.com.")
    is_registry = "." not in rest and len(rest) == 2 and first in _SECOND_LEVELS
    if is_registry or name in _SHARED_SUFFIXES:
        raise _bad(f"Names below {name} belong to many. Use one of your own.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _bad(message: str) -> Invalid:
    return Invalid.of("name", message)
