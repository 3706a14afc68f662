"""Arithmetic, by a grammar of its own: nothing is ever evaluated as code.

    sum     = product (("+" | "-") product)*
    product = sign (("*" | "/" | "//" | "%") sign)*
    sign    = ("+" | "-") sign | power
    power   = atom (("**" | "^") sign)?
    atom    = number | name | name "(" sum ("," sum)* ")" | "(" sum ")"

Whole numbers stay exact while they are whole; a power is judged by its size before it is computed.
"""

from __future__ import annotations

import math
import operator
import re
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from apps.agents.runtimes.base import CallContext, Invocation, WorkFailed
from apps.agents.runtimes.builtin.skill import Skill, one_tool
from apps.common.json import Object

Number = int | float

LENGTH_MAX: Final = 1000
DEPTH_MAX: Final = 50
BITS_MAX: Final = 1024
PLACES_MAX: Final = 400
FINITE_MAX: Final = int(sys.float_info.max)
EXACT_MAX: Final = 2**53 - 1
"""The largest whole number that every reader of JSON takes for the same (RFC 7493 §2.2)."""

_TOKEN: Final = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\*\*|//|[-+*/%^(),]))"
)
_NAMES: Final[dict[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}
_FUNCTIONS: Final[dict[str, tuple[range, Callable[..., Number]]]] = {
    "abs": (range(1, 2), abs),
    "sqrt": (range(1, 2), math.sqrt),
    "round": (range(1, 3), lambda value, places=0: _round(value, places)),
    "floor": (range(1, 2), math.floor),
    "ceil": (range(1, 2), math.ceil),
    "min": (range(1, 20), lambda *values: min(values)),
    "max": (range(1, 20), lambda *values: max(values)),
    "exp": (range(1, 2), math.exp),
    "ln": (range(1, 2), math.log),
    "log10": (range(1, 2), math.log10),
    "sin": (range(1, 2), math.sin),
    "cos": (range(1, 2), math.cos),
    "tan": (range(1, 2), math.tan),
}
_SUMS: Final = {"+": operator.add, "-": operator.sub}
_PRODUCTS: Final = {"*": operator.mul, "//": operator.floordiv, "%": operator.mod}

SPEC: Final = one_tool(
    "calculator",
    "Calculates the value of an arithmetic expression: + - * / // % ** and parentheses, the "
    f"functions {', '.join(sorted(_FUNCTIONS))}, and pi, e, tau.",
    {
        "expression": {
            "type": "string",
            "description": "What to calculate.",
            "minLength": 1,
            "maxLength": LENGTH_MAX,
            "pattern": r"^[\s0-9A-Za-z_.,+*/%^()-]*[0-9A-Za-z_.)][\s0-9A-Za-z_.,+*/%^()-]*$",
            "examples": ["2 * (3 + 4)", "sqrt(16) / 2"],
        }
    },
    {"value": {"type": "number"}},
    required=["expression"],
)


def run(invocation: Invocation, ctx: CallContext) -> Object:
    return {"value": calculate(invocation.input["expression"])}


def calculate(expression: str) -> Number:
    """The value of an expression; raises WorkFailed, naming the column of what is wrong."""
    if len(expression) > LENGTH_MAX:
        raise WorkFailed("expression_too_long", f"Use at most {LENGTH_MAX} characters.")
    return _plain(_Parser(expression).value())


class _Parser:
    """Reads an expression from left to right and computes as it goes."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def value(self) -> Number:
        found = self._sum()
        if self._peek():
            self._fail(f"“{self._peek()}” is not expected here")
        return found

    def _sum(self) -> Number:
        return self._chain(self._product, _SUMS)

    def _product(self) -> Number:
        return self._chain(self._sign, {**_PRODUCTS, "/": _divide})

    def _chain(
        self, part: Callable[[], Number], verbs: dict[str, Callable[[Number, Number], Number]]
    ) -> Number:
        """Parts of one rank, computed from left to right."""
        left = part()
        while (verb := self._peek()) in verbs:
            at = self._at
            self._at += 1
            left = self._compute(verbs[verb], left, part(), at=at)
        return left

    def _sign(self) -> Number:
        with _Level(self):
            if self._peek() in _SUMS:
                return -self._sign() if self._take() == "-" else self._sign()
            return self._power()

    def _power(self) -> Number:
        base = self._atom()
        if self._peek() in {"**", "^"}:
            at = self._at
            self._at += 1
            return self._compute(_power, base, self._sign(), at=at)
        return base

    def _atom(self) -> Number:
        token = self._take()
        if token == "(":  # noqa: S105
            return self._closed(self._sum())
        if token[:1].isalpha() or token[:1] == "_":
            return self._named(token.lower())
        if token[:1].isdigit() or token[:1] == ".":
            return self._compute(_number, token, at=self._at - 1)
        self._at -= 1
        return self._fail(
            f"a number is expected before “{token}”" if token else "something is missing at the end"
        )

    def _named(self, name: str) -> Number:
        at = self._at - 1
        if self._peek() != "(":
            return _NAMES[name] if name in _NAMES else self._fail(f"“{name}” is unknown", at)
        if name not in _FUNCTIONS:
            return self._fail(f"there is no function “{name}”", at)
        self._at += 1
        values = [self._sum()]
        while self._peek() == ",":
            self._at += 1
            values.append(self._sum())
        self._closed(0)
        counts, function = _FUNCTIONS[name]
        if len(values) not in counts:
            return self._fail(f"“{name}” does not take {len(values)} values", at)
        return self._compute(function, *values, at=at)

    def _closed(self, value: Number) -> Number:
        if self._take() != ")":
            self._at -= 1
            self._fail("a closing parenthesis is missing")
        return value

    def _compute(self, verb: Callable[..., Number], *values: Number | str, at: int) -> Number:
        try:
            found = verb(*values)
        except ZeroDivisionError:
            raise WorkFailed(
                "division_by_zero", f"Column {self._column(at)}: division by zero."
            ) from None
        except OverflowError:
            raise _too_big(self._column(at)) from None
        except (ValueError, TypeError):
            raise WorkFailed(
                "out_of_domain", f"Column {self._column(at)}: there is no such value."
            ) from None
        if isinstance(found, complex) or found != found:  # NaN is no value of anything
            raise WorkFailed("out_of_domain", f"Column {self._column(at)}: there is no such value.")
        if abs(found) > FINITE_MAX:
            raise _too_big(self._column(at))
        return found

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _take(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _column(self, at: int) -> int:
        return self._tokens[min(at, len(self._tokens) - 1)][1]

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        column = self._column(self._at if at is None else at)
        raise WorkFailed("expression_invalid", f"Column {column}: {what}.")


class _Level:
    """One level of nesting; too many end the reading before they end the stack."""

    def __init__(self, parser: _Parser) -> None:
        self._parser = parser

    def __enter__(self) -> None:
        self._parser._depth += 1
        if self._parser._depth > DEPTH_MAX:
            raise WorkFailed("expression_too_deep", f"Nest at most {DEPTH_MAX} levels.")

    def __exit__(self, *_: object) -> None:
        self._parser._depth -= 1


def _tokens(text: str) -> list[tuple[str, int]]:
    """The tokens with their columns, and an empty one at the end."""
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = _TOKEN.match(text, place)
        if match is None:
            column = place + len(text[place:]) - len(text[place:].lstrip()) + 1
            raise WorkFailed(
                "expression_invalid", f"Column {column}: “{text[column - 1]}” is not expected here."
            )
        found.append((match[match.lastindex or 0], match.start(match.lastindex or 0) + 1))
        place = match.end()
    return [*found, ("", end + 1)]


def _number(token: str) -> Number:
    return int(token) if token.isdigit() else float(token)


def _round(value: Number, places: Number) -> Number:
    """To so many places after the point; no finite float has more than `PLACES_MAX` anywhere."""
    if places != int(places):
        raise ValueError
    return round(value, max(-PLACES_MAX, min(int(places), PLACES_MAX))) if places else round(value)


def _divide(left: Number, right: Number) -> Number:
    """Exact where it comes out even."""
    if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
        return left // right
    return left / right


def _power(base: Number, exponent: Number) -> Number:
    """Refuses what would be too big before computing it."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and exponent * math.log2(abs(base)) > BITS_MAX:
            raise OverflowError
        power: Number = base**exponent
        return power
    root: Number = float(base) ** float(exponent)
    return root


def _too_big(column: int) -> WorkFailed:
    return WorkFailed("too_big", f"Column {column}: the value is too big.")


def _plain(value: Number) -> Number:
    """A value that JSON carries: whole numbers beyond 2^53 become the nearest float."""
    return float(value) if isinstance(value, int) and abs(value) > EXACT_MAX else value


SKILL: Final = Skill("calculator", lambda config: SPEC, run)
