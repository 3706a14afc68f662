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
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FACTS = ("at", "actor", "action", "subject", "detail")
EVENT = ("seq", *FACTS, "prev", "hash", "body")
LEAF = re.compile(r"[a-z0-9_]+ [0-9a-f]{32} [0-9a-f]{64}")
NOTE = re.compile(r"(?m)^(([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n)\n((?:— [^\n]+\n)+)\n*")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class Log:
    """The log as it is read: its chain, and the root of its tree at every size that is asked."""

    def __init__(self, sizes: set[int]) -> None:
        self.origin, self.seq, self.prev = "", 0, ""
        self.erased: list[int] = []
        self.erasable = self.count = 0
        self.sizes, self.roots = sizes, dict[int, bytes]()
        self.stack: list[tuple[int, bytes]] = []
        self.wrong: list[str] = []

    def read(self, lines: Iterable[str]) -> None:
        for number, text in enumerate(lines, 1):
            try:
                entry = json.loads(text)
                if json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n" != text:
                    raise ValueError
                if number == 1:
                    self.origin = str(entry["origin"])
                else:
                    self.append(self.record(entry) if "leaf" in entry else self.event(entry))
            except (ValueError, KeyError, TypeError, AttributeError):
                self.wrong.append(f"entry {self.seq + 1}: line {number} can't be read")
        for seq in (seq for seq in self.erased if seq > self.erasable):
            self.wrong.append(f"entry {seq}: its content is gone, and no retention says so")

    def record(self, entry: dict[str, Any]) -> bytes:
        """What stands in the tree of a run or decision: a line with the digest of what it says."""
        line, text = entry["leaf"], entry["text"]
        if tuple(entry) != ("leaf", "text") or not LEAF.fullmatch(line):
            raise ValueError
        name, _, digest = line.rpartition(" ")
        if text is None or sha256(text.encode()).hex() != digest:
            self.wrong.append(f"record {name}: it doesn't say what it said")
        return bytes(line.encode())

    def event(self, entry: dict[str, Any]) -> bytes:
        """What stands there of an entry: its hash."""
        if tuple(entry) != EVENT or type(entry["seq"]) is not int:
            raise ValueError
        self.wrong += [f"entry {self.seq + 1}: {fault}" for fault in self.faults(entry)]
        self.seq, self.prev = entry["seq"], entry["hash"]
        return bytes.fromhex(entry["hash"])

    def faults(self, entry: dict[str, Any]) -> Iterator[str]:
        body, facts = entry["body"], {name: entry[name] for name in FACTS}
        if entry["seq"] != self.seq + 1:
            yield f"{entry['seq']} stands in its place"
        if entry["prev"] != self.prev:
            yield "it doesn't hang on the one before"
        if body is None:
            self.erased.append(entry["seq"])
            if any(value is not None for value in facts.values()):
                yield "it says something although its content is gone"
            return
        place = entry["seq"].to_bytes(8, "big") + bytes.fromhex(entry["prev"])
        if sha256(b"\0", place, body.encode()).hex() != entry["hash"]:
            yield "its hash is not that of its content"
        elif plain(json.loads(body)) != plain({"org": self.origin.rpartition("/")[2], **facts}):
            yield "it doesn't say what its content says"
        elif entry["action"] == "trust.audit.erased":
            self.erasable = max(self.erasable, entry["detail"]["through"])

    def append(self, data: bytes) -> None:
        """One more leaf; the stack holds the roots of the full subtrees so far (RFC 9162)."""
        height, node = 0, sha256(b"\0", data)
        while self.stack and self.stack[-1][0] == height:
            height, node = height + 1, sha256(b"\1", self.stack.pop()[1], node)
        self.stack.append((height, node))
        self.count += 1
        if self.count in self.sizes:
            for _, left in reversed(self.stack[:-1]):
                node = sha256(b"\1", left, node)
            self.roots[self.count] = node


def read_keys(jwks: dict[str, Any]) -> dict[bytes, ec.EllipticCurvePublicKey]:
    """The keys by the ID that C2SP gives an ECDSA key: SHA-256 of its SPKI, four bytes."""
    keys = {}
    for jwk in jwks["keys"]:
        x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[n] + "=="), "big") for n in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        keys[sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))[:4]] = key
    return keys


def check(note: re.Match[str], log: Log, keys: dict[bytes, ec.EllipticCurvePublicKey]) -> int:
    """How many of the keys signed a checkpoint; raises ValueError if it doesn't hold.

    What stands there under another name than the log's, a witness's say, is passed over.
    """
    signed, origin, size, root, lines = note.groups()
    named = [line.rpartition(" ") for line in lines.split("\n")]
    packed = [data for name, _, data in named if name == f"— {origin}"]
    data = [base64.b64decode(text, validate=True) for text in packed]
    if [base64.b64encode(each).decode() for each in data] != packed:
        raise ValueError("its signature can't be read")
    held = [each for each in data if each[:4] in keys]
    try:
        for each in held:
            keys[each[:4]].verify(each[4:], signed.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise ValueError("its signature is false") from None
    if origin != log.origin:
        raise ValueError(f"it is one of {origin}")
    if int(size) > log.count:
        raise ValueError(f"the log ends at {log.count}")
    if base64.b64encode(log.roots.get(int(size), b"")).decode() != root:
        raise ValueError("what it signed is not what the log says")
    return len(held)


def verify(lines: Iterable[str], text: str, jwks: dict[str, Any]) -> tuple[list[str], str]:
    """What is wrong, and in one sentence what was checked."""
    notes, keys = list(NOTE.finditer(text)), read_keys(jwks)
    log = Log({int(note[3]) for note in notes})
    log.read(lines)
    if torn := NOTE.sub("", text):
        log.wrong.append(f"checkpoints: {torn[:80]!r} can't be read")
    newest = held = unheld = 0
    for size, note in ((int(note[3]), note) for note in notes):
        try:
            count = check(note, log, keys)
            newest, held = max((newest, held), (size, count))
            unheld += not count
        except ValueError as error:
            log.wrong.append(f"checkpoint {size}: {error}")
    if not held:
        log.wrong.append(f"checkpoint {newest}: none of the keys has signed the newest one")
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
    notes = "\n".join(path.read_bytes().decode(errors="replace") for path in asked.checkpoints)
    with asked.export.open(encoding="utf-8", newline="\n") as lines:
        wrong, text = verify(lines, notes, json.loads(asked.keys.read_text()))
    print(*wrong, text, "NOT VALID" if wrong else "VALID", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
