"""Encryption of what lies on disk: a streaming cipher, a wrapped key, and the vault."""
