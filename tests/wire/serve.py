"""Serves a small real model by the OpenAI API on this machine, until its standard input ends.

Run by the wire test with the folder that `make wire` fills; says its address.
"""

from __future__ import annotations

import sys
from pathlib import Path

NAME = "smollm2"
CONTEXT = 2048
THREADS = 2


def main(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next(folder.rglob("*.gguf")))
    params.model_alias = {NAME}
    params.n_ctx, params.n_parallel = CONTEXT, 1
    params.cpuparams.n_threads = THREADS
    params.cache_prompt = False  # the same request is the same work, and gives the same answer
    params.use_jinja = True  # templates that can tell a model of tools
    params.hostnames, params.port = ["127.0.0.1"], 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
