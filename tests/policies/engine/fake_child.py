"""What a child must not be: greets as one does, then hangs, dies, or answers what nobody asked."""

from __future__ import annotations

import os
import struct
import sys
import time


def send(body: bytes) -> None:
    os.write(0, struct.pack(">I", len(body)) + body)


def main(manner: str) -> None:
    if manner == "absent":
        sys.exit(1)
    send(b"{}")
    os.read(0, 65536)
    answers = {
        "garbage": b"not JSON",
        "list": b"[]",
        "wrong": b'{"answers": [7]}',
        "too few": b'{"answers": []}',
        "empty": b"{}",
        "undefined": b'{"answers": [{"document": {}}]}',
    }
    if manner in answers:
        send(answers[manner])
    elif manner == "huge":
        os.write(0, struct.pack(">I", 2**31))
    elif manner == "half":
        os.write(0, struct.pack(">I", 100) + b"{")
    elif manner == "dead":
        sys.exit(3)
    time.sleep(30)


if __name__ == "__main__":
    main(sys.argv[1])
