"""The whole program of a policy child: regorus behind a socket, with nothing else in reach.

`apps.policies.engine.process` starts it by `python -I -S child.py SITE PROGRESS` with an empty
environment: SITE is the folder that has regorus, PROGRESS a file of one byte in which the child
keeps which text it is at. Standard input is the socket. A message is its length in four bytes, a
line of JSON, and in a request the input document as another. The child imports regorus and the
standard library only. It ends with its socket, and by its own timer if it is busy then.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

Json = dict[str, Any]

MEMORY_BYTES: Final = 512 * 2**20
CACHED_BYTES: Final = 2 * 2**20
"""Rego whose compiled form is kept."""
ANSWER_BYTES: Final = 64 * 2**10
"""The largest document that a policy may answer with."""
POLICY: Final = "policy.rego"
TESTS: Final = "tests.rego"
ANSWER: Final = "data.mandate_answer.document"
ANSWER_MODULE: Final = """package mandate_answer

document := {
    "allow": [x | x := data.mandate.allow],
    "deny": [x | x := data.mandate.deny],
    "require_approval": [x | x := data.mandate.require_approval],
    "obligations": [x | x := data.mandate.obligations],
}
"""


class PolicyError(Exception):
    """The engine refused a text or failed to evaluate it; says where, in the engine's words."""


def attempt(work: Callable[[], Any]) -> Any:
    """What the engine answers; its failures, its panics included, as one kind of error."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        raise PolicyError(str(error).partition("\n\nStack backtrace")[0].strip()) from None
    except BaseException as panic:  # noqa: BLE001 - a panic of Rust's is one
        Service.broken = True
        raise PolicyError(f"the engine broke: {panic}") from None


def engine_of(modules: dict[str, str]) -> Any:
    """An engine that has read the modules."""
    import regorus

    engine = regorus.Engine()
    engine.set_gather_prints(True)
    for name, text in modules.items():
        attempt(partial(engine.add_policy, name, text))
    return engine


class Compiled:
    """Engines ready to be cloned, by their text's digest; those used last, as space allows.

    A text that can't be read is kept as the error that says so.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, digest: str) -> bool:
        return digest in self._kept

    def clone(self, digest: str) -> Any:
        """An engine for one evaluation: what it leaves behind is seen by nobody."""
        self._kept.move_to_end(digest)
        engine = self._kept[digest][0]
        if isinstance(engine, PolicyError):
            raise engine
        return engine.clone()

    def add(self, digest: str, rego: str) -> None:
        self._kept[digest] = self._compile(rego), len(rego)
        self._size += len(rego)
        while self._size > CACHED_BYTES and len(self._kept) > 1:
            self._size -= self._kept.popitem(last=False)[1][1]

    def _compile(self, rego: str) -> Any:
        """Evaluated once without a document, an engine has done what its clones needn't do."""
        try:
            engine = engine_of({POLICY: rego, "answer.rego": ANSWER_MODULE})
        except PolicyError as error:
            return error
        with contextlib.suppress(PolicyError):  # said again, to whoever asks with a document
            attempt(lambda: engine.eval_rule_as_json(ANSWER))
        return engine


class Service:
    """What a child can be asked; each method takes the request and its document."""

    broken = False
    """The engine panicked: this answer is the child's last."""

    def __init__(self, progress: mmap.mmap) -> None:
        self._progress = progress
        self._compiled = Compiled()

    def evaluate(self, request: Json, document: str) -> str:
        """What each text says by itself; or, first, which texts aren't known here."""
        digests, texts = request["digests"], request.get("texts", {})
        if missing := [d for d in digests if d not in self._compiled and d not in texts]:
            return json.dumps({"missing": missing})
        answers = []
        for index, digest in enumerate(digests):
            self._progress[0] = min(index, 255)
            if digest not in self._compiled:
                self._compiled.add(digest, texts[digest])
            answers.append(self._answer(digest, document))
        return '{"answers":[' + ",".join(answers) + "]}"

    def _answer(self, digest: str, document: str) -> str:
        try:
            engine = self._compiled.clone(digest)
            attempt(lambda: engine.set_input_json(document))
            answer: str = attempt(lambda: engine.eval_rule_as_json(ANSWER))
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        if len(answer) > ANSWER_BYTES:
            return json.dumps({"error": "the answer is too large"})
        return f'{{"document":{answer}}}'

    def inspect(self, request: Json, document: str) -> str:
        """What a text consists of, for whoever judges it; `name` is told in errors."""
        try:
            engine = engine_of({request["name"]: request["rego"]})
            tree = attempt(engine.get_ast_as_json)
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        return json.dumps({"facts": facts_of(json.loads(tree)[0])})

    def test(self, request: Json, document: str) -> str:
        """What each named rule of the tests is, by its name: true is passed."""
        try:
            engine = engine_of({POLICY: request["rego"], TESTS: request["tests"]})
        except PolicyError as error:
            return json.dumps({"error": str(error)})
        outcomes = {}
        for index, name in enumerate(request["names"]):
            self._progress[0] = min(index, 255)
            outcomes[name] = self._outcome(engine.clone(), name)
        return json.dumps({"outcomes": outcomes})

    def _outcome(self, engine: Any, name: str) -> Json:
        try:
            value = attempt(lambda: engine.eval_rule_as_json(f"data.mandate_test.{name}"))
        except PolicyError as error:
            return {"error": str(error)}
        return {"passed": value.strip() == "true"}


# What a text consists of


def facts_of(module: Json) -> Json:
    """Package, imports, rules, calls and uses of `data`, each with line and column."""
    tree = module["ast"]
    found = Findings(module["source"]["contents"].encode())
    return {
        "package": {
            "name": _dotted(tree["package"]["refr"]),
            "at": _start(tree["package"]["refr"]),
        },
        "imports": [{"name": _dotted(i["refr"]), "at": _start(i["refr"])} for i in tree["imports"]],
        "rules": [found.rule(rule) for rule in tree["rules"]],
        "calls": found.calls,
        "data": found.data,
    }


class Findings:
    """What is found in the rules of one text, one after another."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self.calls: list[Json] = []
        self.data: list[list[int]] = []

    def rule(self, rule: Json) -> Json:
        """A rule's name, its kind, its parameters where it is a function, and whom it mentions."""
        ((kind, body),) = rule.items()
        head = body
        if kind == "Spec":
            ((kind, head),) = body["head"].items()
        parts = [*_indexes(head["refr"]), {n: v for n, v in head.items() if n != "refr"}]
        parameters = head.get("args") or []
        mentioned, local = set[str](), _variables(parameters)
        for node in _nodes([*parts, body.get("bodies")]):
            self._note(node, mentioned)
            local |= self._declared(node)
        return {
            "name": _dotted(head["refr"]),
            "kind": kind,
            "arity": len(parameters) or None,
            "uses": sorted(mentioned - local),
            "at": _at(body),
        }

    def _note(self, node: Json, mentioned: set[str]) -> None:
        if isinstance(variable := node.get("Var"), dict):
            mentioned.add(variable["value"])
            if variable["value"] == "data":
                self.data.append(_at(variable))
        elif isinstance(call := node.get("Call"), dict):
            self._call(call["fcn"], len(call["params"]))
        for replaced in node.get("with_mods") or ():
            self._call(replaced["refr"], None)

    def _call(self, function: Json, arity: int | None) -> None:
        """A function that is called, or one that is replaced by `with` and has no arguments."""
        self.calls.append({"name": _dotted(function), "arity": arity, "at": _start(function)})

    def _declared(self, node: Json) -> set[str]:
        """The variables that a node makes its rule's own."""
        if isinstance(assignment := node.get("AssignExpr"), dict) and assignment["op"] == "ColEq":
            return _variables(assignment["lhs"])
        if isinstance(some := node.get("SomeIn"), dict):
            return _variables([some["key"], some["value"]])
        if isinstance(some := node.get("SomeVars"), dict):
            return {self._word(span) for span in some["vars"]}
        if isinstance(every := node.get("Every"), dict):
            return {self._word(span) for span in (every["key"], every["value"]) if span}
        return set()

    def _word(self, span: Json) -> str:
        return self._source[span["start"] : span["end"]].decode()


def _variables(tree: Any) -> set[str]:
    return {node["Var"]["value"] for node in _nodes(tree) if "Var" in node}


def _nodes(tree: Any) -> Iterator[Json]:
    """Every object within, in order; without recursion, since a text may be nested deeply."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting.extend(reversed(list(node.values())))
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _dotted(node: Json) -> str:
    """`a.b.c` of a reference; what is in brackets and no name is left out."""
    parts: list[str] = []
    while True:
        ((kind, value),) = node.items()
        if kind == "RefDot":
            parts.append(value["field"][1])
        elif kind == "Var":
            return ".".join([value["value"], *reversed(parts)])
        elif kind != "RefBrack":
            return ".".join(reversed(parts))
        elif "String" in value["index"]:
            parts.append(value["index"]["String"]["value"])
        node = value["refr"]


def _indexes(node: Json) -> Iterator[Json]:
    """What stands in the brackets of a reference."""
    while "Var" not in node:
        ((kind, value),) = node.items()
        if kind == "RefBrack":
            yield value["index"]
        node = value["refr"]


def _start(node: Json) -> list[int]:
    """Where a reference begins; its own place is its last dot."""
    while "span" not in node:
        node = next(iter(node.values()))
        node = node.get("refr", node)
    return _at(node)


def _at(node: Json) -> list[int]:
    """Line and column."""
    return [node["span"]["line"], node["span"]["col"]]


# The process


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
