"""The bodies that the description of `/v1/audit` shows."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

from apps.common.openapi import example
from apps.trust.errors import NotSealed, ProofFails

_AT: Final = "2027-01-31T12:00:00Z"
_HASH: Final = "9f2c4b1d" * 8
_PREV: Final = "07d1e6a3" * 8
_RUN: Final = "0190f7c26d1e7b5a9c3e2f4b6a8d0e30"

_ENTRY: Final[dict[str, Any]] = {
    "seq": 1042,
    "at": "2027-01-31T12:00:00.123456+00:00",
    "actor": {
        "type": "user",
        "id": "mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e11",
        "label": "Ada Osei",
    },
    "action": "orgs.project.renamed",
    "subject": {"type": "project", "id": "prj_0190f7c26d1e7b5a9c3e2f4b6a8d0e12"},
    "detail": {"old": {"name": "Support"}, "new": {"name": "Customer support"}},
    "prev": _PREV,
    "hash": _HASH,
    "erased": False,
    "withheld": False,
}
_CHECKPOINT: Final[dict[str, Any]] = {
    "number": 310,
    "at": _AT,
    "size": 20852,
    "root": _HASH,
    "last_seq": 1042,
    "note": "mandate/acme/0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e10\n20852\nnyxLHZ8sSx2fLEsdnyxLHZ8sSx2"
    "fLEsdnyxLHZ8sSx0=\n\n— mandate/acme/0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e10 jJbEuzBGAiEA6…\n",
}
_PLACE: Final[dict[str, Any]] = {
    "index": 20851,
    "leaf": _PREV,
    "path": [_HASH, _PREV],
    "checkpoint": _CHECKPOINT,
}

ENTRIES: Final = [example("The newest entries", {"results": [_ENTRY], "next": None})]
CHECKPOINTS: Final = [
    example("The newest checkpoints", {"results": [_CHECKPOINT], "next": "WyItbnVtYmVyIiwiMzEwIl0"})
]
ENTRY_PROOF: Final = [
    example(
        "An entry and its place",
        {
            **_PLACE,
            "entry": {
                **_ENTRY,
                "body": '{"action":"orgs.project.renamed","actor":{"id":"mem_0190…",…},…}',
            },
        },
    )
]
RECORD_PROOF: Final = [
    example(
        "A run and its place",
        {
            **_PLACE,
            "record": {
                "id": f"run_{_RUN}",
                "kind": "run",
                "digest": _HASH,
                "line": f"run {_RUN} {_HASH}",
                "text": '{"id": "0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e30", "tool": "echo", …}',
                "matches": True,
                "salt": "0b5e3f1c-52a9-4d0e-8c47-6f2b9a1d7e30",
                "withheld": False,
            },
            "earlier": [],
        },
    )
]
UNPROVED: Final = (NotSealed(), ProofFails())
GROWTH: Final = [
    example(
        "From the first to the newest",
        {
            "old": {**_CHECKPOINT, "number": 1, "size": 3, "last_seq": 3},
            "new": _CHECKPOINT,
            "path": [_PREV, _HASH],
        },
    )
]
VERIFY: Final = [
    example("The newest entries", {}, request=True),
    example("Some of them", {"from_seq": 1, "to_seq": 500}, request=True),
    example(
        "All holds",
        {
            "valid": True,
            "checks": [
                {
                    "name": "chain",
                    "ok": True,
                    "warning": False,
                    "detail": "Entries 1 to 1042: 1042 checked.",
                },
                {
                    "name": "copy:webhook",
                    "ok": False,
                    "warning": True,
                    "detail": "Copied up to checkpoint 309; since then: it answered 503.",
                },
            ],
            "from_seq": 1,
            "to_seq": 1042,
        },
    ),
]


def _file(name: str, media_type: str, text: str) -> OpenApiExample:
    return OpenApiExample(
        name, value=text, media_type=media_type, response_only=True, status_codes=["200"]
    )


EXPORT: Final = [
    _file(
        "The first lines of a whole log",
        "application/jsonl",
        '{"origin":"mandate/acme/0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e10"}\n'
        '{"seq":1,"at":"2027-01-01T09:00:00.000000+00:00",…}\n'
        f'{{"leaf":"run {_RUN} {_HASH}","text":"{{…}}"}}\n',
    ),
    _file("Some entries", "text/csv", "seq,at,actor_type,actor_id,actor,action,…\r\n"),
    _file("Checkpoints", "text/plain", f"{_CHECKPOINT['note']}\n"),
]
VERIFIER: Final = [_file("Its first line", "text/x-python", "#!/usr/bin/env python3\n")]
RETENTION: Final = [example("Two years", {"keep_days": 730, "erased_to": 118})]
RETENTION_CHANGE: Final = [example("Keep two years", {"keep_days": 730}, request=True), *RETENTION]
