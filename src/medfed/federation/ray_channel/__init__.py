"""Sites as actors on a Ray cluster, inside one institution.

Whoever can reach a Ray cluster can run code on its machines. Hospitals therefore never share one;
between them goes Flower. A cluster that is started here listens on loopback only, behind a token of
its own, and ends with the run.
"""

from medfed.federation.ray_channel.channel import RayChannel

__all__ = ["RayChannel"]
