"""A site's own rules, as every file that says them names them."""

from dataclasses import dataclass

from medfed.core.options import option


@dataclass(frozen=True, slots=True)
class Rules:
    """What a site holds others and itself to."""

    min_patients: int = option(1, help="Fewer training patients than this, and it refuses", low=1)
    max_order_mb: int = option(
        4096, help="An order with more megabytes than this is refused", low=1
    )
    min_sites_in_sum: int = option(
        3, help="Secure sums among fewer sites than this are refused", low=3
    )
    privacy_repeats: int = option(
        3, help="Rounds of a private study that may be paid for anew if they came to nothing", low=0
    )
    encrypt_with: str | None = option(
        None, help='What opens the encrypted folder: "passphrase", or the path of a key file'
    )


@dataclass(frozen=True)
class _Places:
    id: str = option(help="The site's name; `name` means the same")
    data: str | None = option(None, help="Folder of the site's data")
    ledger: str | None = option(
        None, help="Folder of the site whose ledger pays for the work here; its own if silent"
    )


@dataclass(frozen=True)
class OwnFields(Rules, _Places):
    """The fields of ``site.toml`` that are a site's own, as they are written."""
