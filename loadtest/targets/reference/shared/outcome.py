"""What came of a command?"""

from typing import Any


class Outcome:
    """Called, it returns the answer or raises what was raised; whatever it is called with does not matter."""

    __slots__ = ("_answer", "_failure")

    def __init__(self, answer: Any = None, failure: Exception | None = None) -> None:
        self._answer = answer
        self._failure = failure

    def __call__(self, *_told: object) -> Any:
        if self._failure is not None:
            raise self._failure
        return self._answer
