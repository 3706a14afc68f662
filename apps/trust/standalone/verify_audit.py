#!/usr/bin/env python3
"""Check an exported audit log against its checkpoints, without asking whoever keeps it.

    python verify_audit.py audit.jsonl --checkpoints 2027-01.txt --keys jwks.json

Needs Python 3.10 and the package `cryptography`. The checkpoints are those that left the database
(the file sink's, or a witness's); the keys are the org's /.well-known/jwks.json. Every entry must
hang on the one before it and say what its hash says; what every checkpoint signed must be what the
log still says. Ends with 0 if all holds; otherwise names the entries and checkpoints that don't.
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
NOTE = re.compile(r"(([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n)\n((?:— [^\n]+\n)+)\n?")
Keys = dict[bytes, ec.EllipticCurvePublicKey]
Note = tuple[str, str, int, str, list[str]]


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("it can't be read")
    return data


def same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class Log:
    """The log as it is read: its chain, and the root of its tree at every size that is asked."""

    def __init__(self, sizes: set[int]) -> None:
        self.origin, self.seq, self.prev = "", 0, ""
        self.erased: list[int] = []
        self.erasable = self.count = 0
        self.sizes, self.roots = sizes, dict[int, bytes]()
        self.stack: list[tuple[int, bytes]] = []
        self.wrong: list[str] = []

    def read(self, lines: Iterable[str]) -> Log:
        for number, text in enumerate(lines, 1):
            try:
                entry = json.loads(text)
                if json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n" != text:
                    raise ValueError
                if number == 1:
                    self.origin = str(entry["origin"])
                else:
                    self.append(self.leaf(entry))
            except (ValueError, KeyError, TypeError, AttributeError):
                self.wrong.append(f"entry {self.seq + 1}: line {number} can't be read")
        for seq in (seq for seq in self.erased if seq > self.erasable):
            self.wrong.append(f"entry {seq}: its content is gone, and no retention says so")
        return self

    def leaf(self, entry: dict[str, Any]) -> bytes:
        """What of an entry stands in the tree: an event's hash, another record's line."""
        if tuple(entry) == ("leaf",) and LEAF.fullmatch(entry["leaf"]):
            return str(entry["leaf"]).encode()
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
        elif not same(json.loads(body), {"org": self.origin.rpartition("/")[2], **facts}):
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


def read_keys(jwks: dict[str, Any]) -> Keys:
    """The keys by the ID that C2SP gives an ECDSA key: SHA-256 of its SPKI, four bytes."""
    keys = {}
    for jwk in jwks["keys"]:
        x, y = (int.from_bytes(base64.urlsafe_b64decode(jwk[n] + "=="), "big") for n in "xy")
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        keys[sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))[:4]] = key
    return keys


def read_notes(text: str) -> list[Note]:
    """Every checkpoint of a file: what was signed, whose, its size and root, the signatures."""
    notes, at = list[Note](), 0
    while at < len(text):
        if not (found := NOTE.match(text, at)):
            raise ValueError(f"checkpoint {len(notes) + 1} of the file can't be read")
        body, origin, size, root, signatures = found.groups()
        notes.append((body, origin, int(size), root, signatures[:-1].split("\n")))
        at = found.end()
    return notes


def signatures_of(body: str, origin: str, lines: list[str], keys: Keys) -> int:
    """How many of the keys signed it; raises ValueError for a false signature."""
    packed = [b64(line.removeprefix(f"— {origin} ")) for line in lines]
    held = [(keys[data[:4]], data[4:]) for data in packed if data[:4] in keys]
    for key, signature in held:
        try:
            key.verify(signature, body.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise ValueError("its signature is false") from None
    return len(held)


def verify(lines: Iterable[str], notes_text: str, jwks: dict[str, Any]) -> tuple[list[str], str]:
    """What is wrong, and in one sentence what was checked."""
    try:
        notes, keys = read_notes(notes_text), read_keys(jwks)
    except (ValueError, KeyError, TypeError) as error:
        return [f"{error}"], "nothing was checked"
    log = Log({note[2] for note in notes}).read(lines)
    newest = held = unheld = 0
    for body, origin, size, root, signatures in notes:
        try:
            count = signatures_of(body, origin, signatures, keys)
            if origin != log.origin:
                raise ValueError(f"it is one of {origin}")
            if size > log.count:
                raise ValueError(f"the log ends at {log.count}")
            if log.roots.get(size) != b64(root):
                raise ValueError("what it signed is not what the log says")
            newest, held = max((newest, held), (size, count))
            unheld += not count
        except ValueError as error:
            log.wrong.append(f"checkpoint {size}: {error}")
    if not held:
        log.wrong.append(f"checkpoint {newest}: none of the keys has signed the newest one")
    text = f"{log.seq} entries, {len(log.erased)} erased, and {log.count - log.seq} other records"
    return log.wrong, (
        f"{text}; {len(notes)} checkpoints, {unheld} of them signed by none of the keys; "
        f"{log.count - newest} records newer than the last"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("export", type=Path, help="the export in JSON Lines")
    parser.add_argument("--checkpoints", type=Path, required=True, nargs="+")
    parser.add_argument("--keys", type=Path, required=True, help="the org's jwks.json")
    asked = parser.parse_args()
    notes = "".join(path.read_bytes().decode() for path in asked.checkpoints)
    with asked.export.open(encoding="utf-8", newline="\n") as lines:
        wrong, text = verify(lines, notes, json.loads(asked.keys.read_text()))
    print(*wrong, text, "NOT VALID" if wrong else "VALID", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
