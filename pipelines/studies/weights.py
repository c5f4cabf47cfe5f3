"""How often the real source is drawn from: a rule that gives its share of the training samples.

    natural              by size: every recorded step is as likely as any other
    0.1                  a fixed share
    sqrt(n_real/n_sim)   a formula of the numbers of demos

A share of 0 leaves the real demos out, one of 1 the synthetic ones.
"""

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

from handful import InputError, unknown_name

NATURAL = "natural"
_NAMES = ("n_real", "n_sim")
_FUNCTIONS: dict[str, Callable[..., float]] = {"sqrt": math.sqrt, "log": math.log, "min": min, "max": max}
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_LONGEST = 200


@dataclass(frozen=True)
class WeightRule:
    """A rule as it is written in a specification.

    Raises:
        InputError: it is none of the three kinds.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text != NATURAL:
            self._value({"n_real": 1.0, "n_sim": 1.0})

    def share(self, demos: tuple[int, int], steps: tuple[int, int]) -> float:
        """The real source's share of the training samples, in [0, 1].

        Args:
            demos: numbers of real and of synthetic demos.
            steps: how many steps these have.

        Raises:
            InputError: the formula gives no share for these numbers.
        """
        if 0 in demos:
            return float(demos[1] == 0)
        if self.text == NATURAL:
            return steps[0] / sum(steps)
        value = self._value(dict(zip(_NAMES, map(float, demos), strict=True)))
        if not 0 <= value <= 1:
            raise InputError(
                f"weight rule '{self.text}' gives {value:g} for {demos[0]} real and {demos[1]} synthetic demos; the "
                "real share of the samples must lie between 0 and 1"
            )
        return value

    def _value(self, names: dict[str, float]) -> float:
        try:
            if len(self.text) > _LONGEST:
                raise SyntaxError
            found = _evaluated(ast.parse(self.text, mode="eval").body, names)
            value = float(found)
        except (SyntaxError, TypeError):
            raise InputError(
                f"unknown weight rule '{self.text}'; there is: {NATURAL}, a share between 0 and 1, or a formula, "
                "e.g. sqrt(n_real / n_sim)"
            ) from None
        except (ArithmeticError, ValueError) as error:
            raise InputError(f"weight rule '{self.text}' cannot be worked out for {names}: {error}") from None
        return value


def _evaluated(node: ast.expr, names: dict[str, float]) -> float:
    """The value of an arithmetic expression; nothing but arithmetic is done."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name):
            if name not in names:
                raise unknown_name("weight rule", name, [NATURAL, *names])
            return names[name]
        case ast.UnaryOp(op=ast.USub()):
            return -_evaluated(node.operand, names)
        case ast.BinOp() if type(node.op) in _BINARY:
            return _BINARY[type(node.op)](_evaluated(node.left, names), _evaluated(node.right, names))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_evaluated(argument, names) for argument in arguments))
    raise SyntaxError
