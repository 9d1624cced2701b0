"""Names of the phases of a conversation among sites, as orders carry them.

``STEP-CONVERSATION``, and ``STEP-CONVERSATION-NUMBER-OF`` for a part of a step that is answered in
several.
"""

import re
from dataclasses import dataclass

_NAMED = re.compile(r"([a-z]+)-([0-9a-f]{16})(?:-([0-9]{1,4})-([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase.

    Attributes:
        step: What is to be done.
        name: The conversation's.
        number: Which part of the step, from 1.
        of: How many parts the step has.
    """

    step: str
    name: str
    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> "Phase | None":
        """The phase that an order names; None where it names none."""
        found = _NAMED.fullmatch(text)
        if found is None:
            return None
        step, name, number, of = found.groups()
        phase = cls(step, name, int(number or 1), int(of or 1))
        return phase if str(phase) == text and 1 <= phase.number <= phase.of else None

    def __str__(self) -> str:
        """As an order names it."""
        part = f"-{self.number}-{self.of}" if self.of > 1 else ""
        return f"{self.step}-{self.name}{part}"

    def share(self, count: int) -> slice:
        """Which of so many things belong to this part."""
        return slice((self.number - 1) * count // self.of, self.number * count // self.of)


def in_parts(step: str, name: str, of: int) -> list[Phase]:
    """All parts of a step."""
    return [Phase(step, name, number, of) for number in range(1, of + 1)]
