"""The grammar of filters: `task == "lift" and 100 < length <= 300 and not scene in (1, 2, 5)`.

A grammar of its own and nothing that is evaluated: a filter may come from a recipe that somebody else wrote. Shells eat
quotes, so a word on the side of the value is text without them: `domain == twin/dev-0`.

    expression := conjunction ("or" conjunction)*
    conjunction := term ("and" term)*
    term := "not" term | "(" expression ")" | comparison
    comparison := operand (operator operand)+        one of any two neighbours is a field, the other a value
    operator := "==" "!=" "<" "<=" ">" ">=" "in" "not in"
    operand := field | text | number | word | "(" value ("," value)* ")"     the last one after "in" alone
"""

import re
from dataclasses import dataclass
from typing import Any, Literal, cast

from handful import InputError

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<keyword>(?:and|or|not|in)(?![\w./:-]))
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<word>[^\W\d]\w*(?:[./:-]\w+|\[-?\d+\])*)
    | (?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE,
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_MIRRORED: dict[str, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_HINTS = {"=": "; to compare, write ==", "&": "; write: and", "|": "; write: or", "!": "; write: not"}
_CLOSING = {"(": ")", "[": "]"}
# Far beyond what a person writes, and within what recursion bears.
_LONGEST = 100_000
_DEEPEST = 50
_LONGEST_NUMBER = 50


@dataclass(frozen=True)
class Comparison:
    """A field held against a value, or against several after `in`."""

    # As written, such as "length" or "ledger.poses.cube_1[0]".
    field: str
    operator: Operator
    values: tuple[str | float, ...]
    # Where the field, and the first value, begin in the filter [characters].
    at: int
    value_at: int


@dataclass(frozen=True)
class Not:
    """True where its term is false."""

    term: "Expression"


@dataclass(frozen=True)
class Junction:
    """`and` or `or` over several terms."""

    kind: Literal["and", "or"]
    terms: tuple["Expression", ...]


Expression = Comparison | Not | Junction


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True)
class _Operand:
    """A word may turn out to be a field or a value; the rest are values."""

    values: tuple[str | float, ...]
    word: str | None
    at: int


def refuse(where: str, at: int, problem: str) -> InputError:
    """The error for something in a filter, with its place."""
    return InputError(f"{problem} (at character {at + 1} of the filter: {where})")


def parse(where: str) -> Expression:
    """Read a filter.

    Raises:
        InputError: it is no filter; says at which character, and what was expected there.
    """
    if len(where) > _LONGEST:
        raise InputError(f"a filter has at most {_LONGEST:,} characters; this one has {len(where):,}")
    return _Parser(where).whole()


def comparisons(expression: Expression) -> list[Comparison]:
    """All comparisons of a filter, in order."""
    if isinstance(expression, Comparison):
        return [expression]
    terms = (expression.term,) if isinstance(expression, Not) else expression.terms
    return [found for term in terms for found in comparisons(term)]


def _tokens(where: str) -> list[_Token]:
    found = []
    position = 0
    end = len(where.rstrip())
    while position < end:
        match = _TOKEN.match(where, position)
        if match is None:
            at = position + len(where[position:]) - len(where[position:].lstrip())
            raise refuse(where, at, f"unexpected '{where[at]}'{_HINTS.get(where[at], '')}")
        kind = cast(str, match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return [*found, _Token("end", "the end", end)]


class _Parser:
    def __init__(self, where: str) -> None:
        self._where = where
        self._left = _tokens(where)[::-1]
        self._depth = 0

    def whole(self) -> Expression:
        if self._next.kind == "end":
            raise InputError("the filter is empty; write for example: task == lift and length < 300")
        expression = self._expression()
        if self._next.kind != "end":
            raise self._unexpected("'and', 'or' or the end")
        return expression

    @property
    def _next(self) -> _Token:
        return self._left[-1]

    def _take(self, *texts: str) -> str | None:
        """The next token, if it is a sign or keyword among these."""
        if self._next.kind in ("sign", "keyword") and self._next.text in texts:
            return self._left.pop().text
        return None

    def _unexpected(self, expected: str) -> InputError:
        return refuse(self._where, self._next.at, f"expected {expected}, found {self._next.text}")

    def _expression(self) -> Expression:
        terms = [self._conjunction()]
        while self._take("or"):
            terms.append(self._conjunction())
        return terms[0] if len(terms) == 1 else Junction("or", tuple(terms))

    def _conjunction(self) -> Expression:
        terms = [self._term()]
        while self._take("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else Junction("and", tuple(terms))

    def _term(self) -> Expression:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise refuse(self._where, self._next.at, f"a filter nests at most {_DEEPEST} deep")
        try:
            if self._take("not"):
                return Not(self._term())
            if self._take("("):
                inner = self._expression()
                if not self._take(")"):
                    raise self._unexpected("')'")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Expression:
        left = self._operand()
        found: list[Comparison] = []
        while (operator := self._operator()) is not None:
            right = self._several() if operator in ("in", "not in") else self._operand()
            found.append(self._pair(left, operator, right))
            left = right
            if operator in ("in", "not in"):
                break
        if not found:
            raise self._unexpected("==, !=, <, <=, >, >=, in or not in")
        return found[0] if len(found) == 1 else Junction("and", tuple(found))

    def _operator(self) -> Operator | None:
        if sign := self._take(*_COMPARISONS, "in"):
            return cast(Operator, sign)
        if self._take("not"):
            if not self._take("in"):
                raise self._unexpected("'in' after 'not'")
            return "not in"
        return None

    def _pair(self, left: _Operand, operator: Operator, right: _Operand) -> Comparison:
        if left.word is not None:
            return Comparison(left.word, operator, right.values, left.at, right.at)
        if right.word is not None and operator in _MIRRORED:
            return Comparison(right.word, _MIRRORED[operator], left.values, right.at, left.at)
        raise refuse(self._where, left.at, "one side of a comparison must be a field, such as task or length")

    def _several(self) -> _Operand:
        at = self._next.at
        opening = self._take("(", "[")
        if opening is None:
            raise self._unexpected("a list such as (1, 2, 5) after 'in'")
        values: list[Any] = []
        while not self._take(_CLOSING[opening]):
            if values and not self._take(","):
                raise self._unexpected(f"',' or '{_CLOSING[opening]}'")
            if values and self._take(_CLOSING[opening]):
                break
            values += self._operand().values
        if not values:
            raise refuse(self._where, at, "the list after 'in' is empty")
        return _Operand(tuple(values), None, at)

    def _operand(self) -> _Operand:
        token = self._next
        if token.kind not in ("word", "text", "number"):
            raise self._unexpected("a field or a value")
        self._left.pop()
        if token.kind == "word":
            return _Operand((token.text,), token.text, token.at)
        if token.kind == "text":
            return _Operand((token.text[1:-1],), None, token.at)
        if len(token.text) > _LONGEST_NUMBER:
            raise refuse(self._where, token.at, f"a number has at most {_LONGEST_NUMBER} characters")
        # A whole number stays one: seeds do not fit into a float.
        plain = token.text.lstrip("+-").isdigit()
        return _Operand((int(token.text) if plain else float(token.text),), None, token.at)
