"""One line of the doctor's."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = 'ok', 'warn', 'FAIL'


@dataclass(frozen=True)
class Check:
    """
    What was looked at and how it is.

    :param name: of what was looked at, one word.
    :param status: 'ok', 'warn' (works, yet less than it might) or 'FAIL'.
    :param message: in one line.
    :param fix: what to do about it, empty where all is well.
    """

    name: str
    status: str
    message: str
    fix: str = ''

    def __str__(self) -> str:
        """Return the line."""
        fix = f'; fix: {self.fix}' if self.fix else ''
        return f'{self.status:<5} {self.name:<12} {self.message}{fix}'
