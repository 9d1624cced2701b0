"""Sums of ciphertexts: the coordinator adds what it cannot read."""
