"""Where in a payload is the value? A small path language, compiled once and read once per message.

A path is ``$`` and then any number of ``.key``, ``["any key"]`` and ``[index]``. For events and acks ``$`` is
the list of arguments, so ``$[0].error.code`` is the code in the first one; for HTTP answers and feed items it
is the JSON value itself.
"""

import re
from dataclasses import dataclass, field
from typing import Final, Self

_STEP: Final = re.compile(
    r"""\.(?P<key>[A-Za-z_][A-Za-z0-9_-]*) | \[(?P<index>[0-9]{1,6})\] | \["(?P<quoted>[^"]+)"\]""",
    re.VERBOSE,
)
HINT: Final = 'not a path, expected something like "$[0].ok"'


@dataclass(frozen=True, slots=True)
class JsonPath:
    """One compiled path: ``JsonPath.parse("$[0].ok").read(args)``."""

    source: str
    _steps: tuple[str | int, ...] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, source: str) -> Self:
        """Compile. Raises ValueError with a reason fit for the author of a contract."""
        if not source.startswith("$"):
            raise ValueError(HINT)
        steps: list[str | int] = []
        position = 1
        while position < len(source):
            step = _STEP.match(source, position)
            if step is None:
                raise ValueError(f"{HINT}; stuck at {source[position:]!r}" if position > 1 else HINT)
            index = step["index"]
            steps.append(int(index) if index is not None else step["key"] or step["quoted"])
            position = step.end()
        return cls(source, tuple(steps))

    def read(self, root: object) -> object | None:
        """The value at the path, or None where anything on the way is absent, null or of another kind."""
        value = root
        for step in self._steps:
            # The kind is checked because text takes an index too: "$[0][0]" must not find the "h" of "hello".
            if isinstance(step, str):
                if not isinstance(value, dict):
                    return None
                value = value.get(step)
            elif isinstance(value, (list, tuple)) and step < len(value):
                value = value[step]
            else:
                return None
        return value
