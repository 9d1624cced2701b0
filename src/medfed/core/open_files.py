"""How many files this process may have open."""

from contextlib import suppress

MANY = 65_536


def allow_many() -> None:
    """Raise the soft limit as far as the hard one goes, where the system has such limits."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MANY if hard == resource.RLIM_INFINITY else min(MANY, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
