"""A record of what happened that cannot be rewritten unnoticed."""
