"""Flower's SuperLink between hospitals: the only package that speaks Flower's words.

The SuperLink keeps messages in a database and every site fetches its own by outbound HTTPS. What
travels is medfed's sealed orders and replies; what is at either end is the round loop and
`Site.handle`, unchanged.

=============  ==================================================================================
`superlink`    the SuperLink process, and the registration of sites at it
`conversation` the coordinator's end of a run: send to a node, receive from it
`channel`      `medfed.federation.channel.Channel` over a conversation
`fleet`        the site's end: Flower's Fleet API
`link`         fetches orders, has them answered, sends the replies, whatever is cut in between
`records`      sealed messages as Flower's records, and their way in pieces
=============  ==================================================================================

Flower's own executors (``flower-superexec``, ``flwr-serverapp``, ``flwr-clientapp``) are not used:
they would load code that came over the wire, and wait three seconds here and there. See
``docs/decisions/0016-flower-carries-messages-only.md``.
"""

import os

# Read when flwr is imported: nothing is reported to anybody.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
