"""The whole program of a policy child: regorus behind a socket, with nothing else in reach.

`apps.policies.engine.process` starts it by `python -I -S child.py SITE PROGRESS` with an empty
environment: SITE is the folder that has regorus, PROGRESS a file of one byte in which the child
keeps which text it is at. Standard input is the socket. A message is its length in four bytes, a
line of JSON, and in a request the input document as another. The child imports regorus, the
standard library and two modules beside it. It ends with its socket, and by its own timer if it is
busy then.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import resource
import signal
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, Final

Json = dict[str, Any]

MEMORY_BYTES: Final = 512 * 2**20
CACHED_BYTES: Final = 2**20
"""Rego whose compiled form is kept."""
ANSWER_BYTES: Final = 64 * 2**10
"""The largest document that a policy may answer with."""
ROUNDS: Final = 5
"""Negations within operands of negations."""
PLACE: Final = re.compile(r"(\S+\.rego):(\d+):(\d+)")
POLICY: Final = "policy.rego"
TESTS: Final = "tests.rego"
ANSWER: Final = "data.mandate_answer.document"
FOLDER: Final = __file__.removesuffix("child.py")


class PolicyError(Exception):
    """The engine refused a text or failed to evaluate it; says where, in the engine's words."""


class Rego:
    """Texts that the engine has read, with every negation as the language means it."""

    def __init__(self, modules: dict[str, str]) -> None:
        self._rounds: dict[str, list[Any]] = {}
        self._is_used = False
        self.engine = new_engine()
        for name, text in modules.items():
            rewritten = self._rewritten(name, text)
            self.attempt(partial(self.engine.add_policy, name, rewritten))

    def evaluate(self, document: str) -> str:
        """The answer by an engine of its own: a clone of one that has been through it all once."""
        engine = self.engine.clone() if self._is_used else self.engine
        self._is_used = True
        try:
            self.attempt(lambda: engine.set_input_json(document))
            answer: str = self.attempt(lambda: engine.eval_rule_as_json(ANSWER))
            return answer
        finally:
            engine.set_input_json("{}")

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What the engine answers; its failures, its panics included, as one kind of error."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            raise PolicyError(self._placed(str(error))) from None
        except BaseException as panic:  # noqa: BLE001 - a panic of Rust's is one
            Service.broken = True
            raise PolicyError(f"the engine broke: {panic}") from None

    def tree(self, name: str, text: str) -> Json:
        """The engine's tree of a text; raises PolicyError where it can't be read."""
        engine = new_engine()
        self.attempt(partial(engine.add_policy, name, text))
        tree: Json = json.loads(self.attempt(engine.get_ast_as_json))[0]
        return tree

    def _rewritten(self, name: str, text: str) -> str:
        rounds = self._rounds[name] = []
        is_done = "not" not in text
        while not is_done:
            found = negation.rewrite(self.tree(name, text))
            is_done = found.is_whole
            text = found.text.decode()
            rounds.append(found)
            if len(rounds) > ROUNDS:
                raise PolicyError("negations are nested too deeply")
        return text

    def _placed(self, message: str) -> str:
        """The engine's words, with places in the text as it was written."""

        def place(match: re.Match[str]) -> str:
            name, line, column = match[1], int(match[2]), int(match[3])
            for found in reversed(self._rounds.get(name, [])):
                line, column = found.place(line, column)
            return f"{name}:{line}:{column}"

        return PLACE.sub(place, message.partition("\n\nStack backtrace")[0].strip())


def new_engine() -> Any:
    import regorus

    engine = regorus.Engine()
    engine.set_gather_prints(True)
    return engine


class Compiled:
    """Texts ready to be evaluated, by their digest; those used last, as space allows.

    A text that can't be read is kept as the error that says so.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Rego | PolicyError, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def evaluate(self, digest: str, document: str) -> str:
        """The answer's JSON; what an evaluation leaves behind is seen by no other."""
        self._kept.move_to_end(digest)
        rego = self._kept[digest][0]
        if isinstance(rego, PolicyError):
            raise rego
        return rego.evaluate(document)

    def add(self, digest: str, text: str) -> None:
        """Read a text; to evaluate it is another thing, which may never end."""
        rego: Rego | PolicyError
        try:
            rego = Rego({POLICY: text, "answer.rego": ANSWER_MODULE})
        except PolicyError as error:
            rego = error
        self._kept[digest] = rego, len(text)
        self._size += len(text)
        while self._size > CACHED_BYTES and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1][1]


class Service:
    """What a child can be asked; each method takes the request and its document."""

    broken = False
    """The engine panicked: this answer is the child's last."""

    def __init__(self, progress: mmap.mmap) -> None:
        self._progress = progress
        self._compiled = Compiled()

    def load(self, request: Json, document: str) -> str:
        """Read a text, so that it can be evaluated from now on."""
        if request["digest"] not in self._compiled:
            self._compiled.add(request["digest"], request["rego"])
        return "{}"

    def evaluate(self, request: Json, document: str) -> str:
        """What each text says by itself; or, first, which texts must be loaded."""
        digests = request["digests"]
        if missing := [digest for digest in digests if digest not in self._compiled]:
            return json.dumps({"missing": missing})
        answers = []
        for index, digest in enumerate(digests):
            self._progress[0] = min(index, 255)
            answers.append(self._answer(digest, document))
        return '{"answers":[' + ",".join(answers) + "]}"

    def _answer(self, digest: str, document: str) -> str:
        try:
            answer = self._compiled.evaluate(digest, document)
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        if len(answer) > ANSWER_BYTES:
            return json.dumps({"error": "the answer is too large"})
        return f'{{"document":{answer}}}'

    def inspect(self, request: Json, document: str) -> str:
        """What a text consists of, for whoever judges it; `name` is told in errors."""
        try:
            tree = Rego({}).tree(request["name"], request["rego"])
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        return json.dumps({"facts": facts.facts_of(tree)})

    def test(self, request: Json, document: str) -> str:
        """What each named rule of the tests is, by its name: true is passed."""
        try:
            rego = Rego({POLICY: request["rego"], TESTS: request["tests"]})
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        return json.dumps({"outcomes": {n: self._outcome(rego, n) for n in request["names"]}})

    def _outcome(self, rego: Rego, name: str) -> Json:
        rule = f"data.mandate_test.{name}"
        try:
            value = rego.attempt(partial(rego.engine.clone().eval_rule_as_json, rule))
        except PolicyError as error:
            return {"error": str(error)}
        return {"passed": value.strip() == "true"}


# The process


def load(name: str) -> Any:
    """A module beside this file. Its folder stays out of the path: it has a `types` of its own."""
    spec: Any = spec_from_file_location(name, f"{FOLDER}{name}.py")
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


facts, negation = load("facts"), load("negation")
with open(f"{FOLDER}answer.rego") as file:  # noqa: PTH123 - a child starts without pathlib
    ANSWER_MODULE = file.read()


def import_engine(site: str) -> None:
    """Import regorus with no other package in reach, and without the GB that it reserves."""
    os.environ["MIMALLOC_ARENA_RESERVE"] = "0"
    sys.path.append(site)
    import regorus  # noqa: F401

    sys.path.remove(site)
    os.environ.clear()


def give_up_everything() -> None:
    """No more memory than planned, no file, socket, process or dump, for good."""
    for name, most in {
        "RLIMIT_AS": MEMORY_BYTES,
        "RLIMIT_NOFILE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
    }.items():
        resource.setrlimit(getattr(resource, name), (most, most))


def limit_time(seconds: float) -> None:
    """Let the system end this process if a request takes far too long and nobody kills it."""
    signal.setitimer(signal.ITIMER_REAL, 2 * seconds)
    spent = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + 1, resource.RLIM_INFINITY))


def read_exactly(size: int) -> bytes:
    """So many bytes of the socket; the process ends where the socket does."""
    parts = []
    while size:
        part = os.read(0, min(size, 2**20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(answer: str) -> None:
    body = answer.encode()
    frame = memoryview(struct.pack(">I", len(body)) + body)
    while frame:
        frame = frame[os.write(0, frame) :]


def serve(service: Service) -> None:
    """Answer requests in order, until the socket or the engine breaks."""
    while not Service.broken:
        (size,) = struct.unpack(">I", read_exactly(4))
        head, _, document = read_exactly(size).decode().partition("\n")
        request = json.loads(head)
        limit_time(request["seconds"])
        answer = getattr(service, request["op"])(request, document)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(answer)


def main(site: str, progress: int) -> None:
    import_engine(site)
    shared = mmap.mmap(progress, 1)
    os.close(progress)
    give_up_everything()
    send("{}")
    serve(Service(shared))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
