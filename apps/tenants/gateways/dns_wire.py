"""The few pages of DNS that a question for TXT records needs: its bytes, and those of an answer.

RFC 1035 §4 (messages, compression), RFC 6891 (EDNS: answers above 512 bytes). Pure functions: what
a name server may do wrong is tried without a network.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

TXT: Final = 16
CNAME: Final = 5
INTERNET: Final = 1
NO_ERROR: Final = 0
NO_SUCH_NAME: Final = 3

_HEADER: Final = struct.Struct(">6H")
_RECORD: Final = struct.Struct(">HHIH")
_IS_ANSWER: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSE: Final = 0x0100
_RCODE: Final = 0x000F
# An OPT record (RFC 6891 §6.1.2): the root's name, and in the class what may be sent at once.
_EDNS: Final = b"\0" + _RECORD.pack(41, 1232, 0, 0)
_JUMPS: Final = 32
_ALIASES: Final = 8


class NotOurAnswer(ValueError):
    """These bytes don't answer the question that was asked: broken, late, or somebody else's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name server said; a truncated one has to be asked for again over TCP."""

    code: int
    is_truncated: bool
    texts: tuple[str, ...]


def question(name: str, *, ident: int) -> bytes:
    """Ask a resolver for the TXT records of a name in A-labels."""
    header = _HEADER.pack(ident, _RECURSE, 1, 0, 0, 1)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack(">HH", TXT, INTERNET) + _EDNS


def read_answer(message: bytes, *, name: str, ident: int) -> Answer:
    """The TXT records of `name`, its aliases followed within the message.

    Records of other names are passed over: a server may add what it likes, and only what was asked
    for counts. Raises NotOurAnswer.
    """
    try:
        return _read(message, name, ident)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NotOurAnswer("the message is cut off or broken") from error


def _read(message: bytes, name: str, ident: int) -> Answer:
    said, flags, questions, answers, _, _ = _HEADER.unpack_from(message)
    if said != ident or not flags & _IS_ANSWER or flags & _OPCODE or questions != 1:
        raise NotOurAnswer("the message answers another question")
    asked, at = _name(message, _HEADER.size)
    if asked != name or struct.unpack_from(">HH", message, at) != (TXT, INTERNET):
        raise NotOurAnswer("the message answers another question")
    code = flags & _RCODE
    if flags & _TRUNCATED:
        return Answer(code, True, ())
    return Answer(code, False, _texts_of(name, message, at + 4, answers))


def _texts_of(name: str, message: bytes, at: int, count: int) -> tuple[str, ...]:
    aliases: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    for _ in range(count):
        owner, at = _name(message, at)
        kind, network, _, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        data, at = message[at : at + length], at + length
        if at > len(message):
            raise IndexError
        if (kind, network) == (TXT, INTERNET):
            texts.setdefault(owner, []).append(_text(data))
        elif (kind, network) == (CNAME, INTERNET):
            aliases[owner] = _name(message, at - length)[0]
    for _ in range(_ALIASES):
        name = aliases.get(name, name)
    return tuple(texts.get(name, ()))


def _text(data: bytes) -> str:
    """A record's strings as one, as SPF and every other use of TXT reads them (RFC 7208 §3.3)."""
    parts, at = [], 0
    while at < len(data):
        length = data[at]
        part = data[at + 1 : at + 1 + length]
        if len(part) != length:
            raise IndexError
        parts.append(part)
        at += 1 + length
    return b"".join(parts).decode("utf-8", "replace")


def _name(message: bytes, at: int) -> tuple[str, int]:
    """The name that stands there, in lower case, and where what follows it begins."""
    labels: list[str] = []
    end = 0
    for _ in range(_JUMPS + 128):
        length = message[at]
        if length >= 0xC0:  # the rest stands elsewhere in the message
            end = end or at + 2
            at = struct.unpack_from(">H", message, at)[0] & 0x3FFF
        elif length == 0:
            return ".".join(labels), end or at + 1
        else:
            label = message[at + 1 : at + 1 + length].decode("ascii").lower()
            if "." in label:  # as text it would be another name: "a.b" and "a", "b" are two
                raise NotOurAnswer("a label holds a dot")
            labels.append(label)
            at += 1 + length
    raise IndexError
