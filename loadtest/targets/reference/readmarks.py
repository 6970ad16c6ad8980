"""How far has each member read? A mark only ever moves forward."""


class ReadMarks:
    def __init__(self) -> None:
        self._marks: dict[str, int] = {}

    def advance(self, user: str, up_to: int) -> tuple[int, bool]:
        """Moves the mark of `user` to `up_to` if that is further; returns the mark and whether it moved."""
        mark = self._marks.get(user, 0)
        if up_to <= mark:
            return mark, False
        self._marks[user] = up_to
        return up_to, True
