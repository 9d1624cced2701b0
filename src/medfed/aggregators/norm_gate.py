"""The option that all aggregators have in common which see each site's update."""

from dataclasses import dataclass

from medfed.core.options import option


@dataclass(frozen=True, slots=True)
class NormGate:
    """Leaves out, and names, a site whose change is far larger than the others'.

    The gate itself is `medfed.federation.gates.too_large`, which looks before anything is combined.
    A secure sum or an encrypted one has no such option: nobody there sees a single site's norm.
    """

    norm_limit: float = option(
        0.0,
        "Leave out sites whose change is this many times the median's length; 0: no limit",
        low=0.0,
    )
