#!/usr/bin/env python3
"""Check an exported audit log against its checkpoints, without asking whoever keeps it.

    python verify_audit.py audit.jsonl --checkpoints 2027-01.txt --keys jwks.json

Needs Python 3.10 and the package `cryptography`. The checkpoints are those that left the database
(the file sink's, or a witness's); the keys are the org's /.well-known/jwks.json. Every entry must
hang on the one before it, entries and records must say what their hashes say, and the log must
still be what every checkpoint signed. Ends with 0 if all holds; otherwise names what doesn't.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

EVENT = ("seq", "at", "actor", "action", "subject", "detail", "prev", "hash", "body")
LEAF = re.compile(r"([a-z0-9_]+ [0-9a-f]{32}) ([0-9a-f]{64})")
NOTE = re.compile(r"(?m)^(([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n)\n((?:— [^\n]+\n)+)\n*")
SPKI_OF_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
spaceless = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
ordered = json.JSONEncoder(sort_keys=True).encode


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Log:
    """The log as it is read: its chain, and the root of its tree at every size that is asked."""

    def __init__(self, lines: Iterable[bytes], sizes: set[int]) -> None:
        self.origin, self.seq, self.prev = "", 0, ""
        self.count, self.stack, self.roots = 0, list[bytes](), dict[int, bytes]()
        self.erased, self.erasable, self.wrong = list[int](), 0, list[str]()
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if spaceless(entry).encode() + b"\n" != line:
                    raise ValueError
                if number == 1:
                    self.origin = str(entry["origin"])
                else:
                    self.append(self.leaf(entry), sizes)
            except UNREADABLE:
                self.wrong.append(f"entry {self.seq + 1}: line {number} can't be read")
        for seq in (seq for seq in self.erased if seq > self.erasable):
            self.wrong.append(f"entry {seq}: its content is gone, and no retention says so")

    def leaf(self, entry: dict[str, Any]) -> bytes:
        """What stands in the tree: an entry's hash, or a line with the digest of a record."""
        if tuple(entry) == EVENT and type(entry["seq"]) is int:
            self.wrong += [f"entry {self.seq + 1}: {fault}" for fault in self.faults(**entry)]
            self.seq, self.prev = entry["seq"], entry["hash"]
            return bytes.fromhex(entry["hash"])
        if tuple(entry) == ("leaf", "text") and (said := LEAF.fullmatch(entry["leaf"])):
            if entry["text"] is None or sha256(entry["text"].encode()).hex() != said[2]:
                self.wrong.append(f"record {said[1]}: it doesn't say what it said")
            return bytes(entry["leaf"].encode())
        raise ValueError

    def faults(self, seq: int, prev: str, hash: str, body: Any, **facts: Any) -> Iterator[str]:
        if seq != self.seq + 1:
            yield f"{seq} stands in its place"
        if prev != self.prev:
            yield "it doesn't hang on the one before"
        place = seq.to_bytes(8, "big") + bytes.fromhex(prev)
        if body is None:
            self.erased.append(seq)
            if any(fact is not None for fact in facts.values()):
                yield "it says something although its content is gone"
        elif sha256(b"\0", place, body.encode()).hex() != hash:
            yield "its hash is not that of its content"
        elif ordered(json.loads(body)) != ordered({"org": self.origin.rpartition("/")[2], **facts}):
            yield "it doesn't say what its content says"
        elif facts["action"] == "trust.audit.erased":
            self.erasable = max(self.erasable, facts["detail"]["through"])

    def append(self, data: bytes, sizes: set[int]) -> None:
        """One more leaf; the stack holds the roots of the full subtrees so far (RFC 9162)."""
        full, root, self.count = self.count, sha256(b"\0", data), self.count + 1
        while full & 1:
            full, root = full >> 1, sha256(b"\1", self.stack.pop(), root)
        self.stack.append(root)
        if self.count in sizes:
            for left in self.stack[-2::-1]:
                root = sha256(b"\1", left, root)
            self.roots[self.count] = root


def read_keys(jwks: dict[str, Any]) -> dict[bytes, Any]:
    """The keys by the ID that C2SP gives an ECDSA key: SHA-256 of its SPKI, four bytes."""
    points = [[urlsafe_b64decode(jwk[name] + "==") for name in "xy"] for jwk in jwks["keys"]]
    spkis = [b"".join((SPKI_OF_P256, *point)) for point in points]
    return {sha256(spki)[:4]: load_der_public_key(spki) for spki in spkis}


def check(note: re.Match[str], log: Log, keys: dict[bytes, Any]) -> int:
    """How many of the keys signed a checkpoint; raises ValueError if it doesn't hold.

    What stands there under another name than the log's, a witness's say, is passed over.
    """
    signed, origin, size, root, lines = note.groups()
    packed = re.findall(rf"(?m)^— {re.escape(origin)} ([^ \n]+)$", lines)
    data = [b64decode(text, validate=True) for text in packed]
    if [b64encode(each).decode() for each in data] != packed:
        raise ValueError("its signature can't be read")
    held = [each for each in data if each[:4] in keys]
    for each in held:
        keys[each[:4]].verify(each[4:], signed.encode(), ec.ECDSA(SHA256()))
    if origin != log.origin:
        raise ValueError(f"it is one of {origin}")
    if int(size) > log.count:
        raise ValueError(f"the log ends at {log.count}")
    if b64encode(log.roots.get(int(size), b"")).decode() != root:
        raise ValueError("what it signed is not what the log says")
    return len(held)


def verify(lines: Iterable[bytes], checkpoints: bytes, jwks: Any) -> tuple[list[str], str]:
    """What is wrong, and in one sentence what was checked."""
    text, keys, good = checkpoints.decode(errors="replace"), read_keys(jwks), [(0, 0)]
    notes = list(NOTE.finditer(text))
    log = Log(lines, {int(note[3]) for note in notes})
    if torn := NOTE.sub("", text):
        log.wrong.append(f"checkpoints: {torn[:80]!r} can't be read")
    for note in notes:
        try:
            good.append((int(note[3]), check(note, log, keys)))
        except InvalidSignature:
            log.wrong.append(f"checkpoint {note[3]}: its signature is false")
        except ValueError as error:
            log.wrong.append(f"checkpoint {note[3]}: {error}")
    newest, signatures = max(good)
    if not signatures:
        log.wrong.append(f"checkpoint {newest}: none of the keys has signed the newest one")
    unheld = sum(not count for _, count in good[1:])
    return log.wrong, (
        f"{log.seq} entries, {len(log.erased)} erased, and {log.count - log.seq} other records; "
        f"{len(notes)} checkpoints, {unheld} of them signed by none of the keys; "
        f"{log.count - newest} records newer than the last"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path, help="the export in JSON Lines")
    parser.add_argument("--checkpoints", type=Path, required=True, nargs="+")
    parser.add_argument("--keys", type=Path, required=True, help="the org's jwks.json")
    asked = parser.parse_args()
    notes = b"\n".join(path.read_bytes() for path in asked.checkpoints)
    with asked.export.open("rb") as lines:
        wrong, text = verify(lines, notes, json.loads(asked.keys.read_bytes()))
    print(*wrong, text, "NOT VALID" if wrong else "VALID", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
