"""What an encrypted sum asks of an encryption that adds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from medfed.aggregators.secure.layout import Layout
from medfed.core.update import Array, Update


class Scheme(Protocol):
    """An additively homomorphic encryption, with how updates are written in it.

    A *context* is whatever the library keeps keys in.

    Attributes:
        part: Ciphertexts that are sent at once, while the next are made.
    """

    part: ClassVar[int]

    @property
    def terms(self) -> list[Any]:
        """What all sites must take for granted alike; its name first."""

    def make(self) -> Any:
        """A fresh context, with its secret key."""

    def with_key(self, context: Any) -> bytes:
        """A context for a site."""

    def without_key(self, context: Any) -> bytes:
        """A context for the coordinator: enough to add, and not to decrypt."""

    def opened(self, blob: bytes, *, secret: bool) -> Any:
        """A context that came from elsewhere.

        Args:
            blob: The context.
            secret: Whether it must hold the secret key, or must not.

        Raises:
            Refused: ``unsafe-sum``: it is none, or of other or weaker parameters.
        """

    def written(self, update: Update, layout: Layout) -> Any:
        """The numbers of an update, as they are encrypted."""

    def encrypt(self, context: Any, written: Any, which: slice) -> Iterator[bytes]:
        """Some of an update's ciphertexts, whose order follows from the layout.

        Raises:
            Refused: ``not-finite``, which a number beyond all reason is taken for too.
        """

    def count(self, layout: Layout) -> int:
        """How many ciphertexts a layout takes."""

    def add(self, context: Any, pieces: Sequence[bytes]) -> bytes:
        """The ciphertext of a sum.

        Raises:
            Foreign: One of them is not of this context.
        """

    def decrypt(
        self, context: Any, ciphertexts: Iterator[bytes], layout: Layout, sites: int
    ) -> Array:
        """The figures of a sum over so many sites, float64.

        Raises:
            Refused: ``unsafe-sum``: they are not the sum of so many sites' under this key.
        """

    def figures(self, layout: Layout) -> int:
        """How many figures `decrypt` gives."""

    def slack(self) -> float:
        """How far two sites' figures of one sum may be apart."""

    def total(self, layout: Layout, figures: Array) -> Update:
        """The update that figures stand for."""

    def notes(self, layout: Layout, total: Update, figures: Array, sites: int) -> Mapping[str, Any]:
        """What rounding may have done, as plain data."""


class Foreign(Exception):
    """A ciphertext is not of this context.

    Attributes:
        place: Which of those that were to be added.
    """

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place
