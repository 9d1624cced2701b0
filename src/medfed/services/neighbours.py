"""The consoles of one demo, of which each leads to the others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A console of the same demo.

    Attributes:
        name: The hospital that it shows.
        url: Its address; empty for the console that tells of it.
        coordinates: Whether it is the coordinator's too.
    """

    name: str
    url: str
    coordinates: bool = False
