"""The Merkle tree of RFC 9162 (and RFC 6962): heads, inclusion proofs, consistency proofs.

Laurie, Messeri, Stradling 2021, "Certificate Transparency Version 2.0", RFC 9162, section 2.1, with
SHA-256. Pure functions over leaf hashes; checking a proof needs neither the log nor its keeper.
"""

import hashlib
from collections.abc import Iterator, Sequence

EMPTY = hashlib.sha256(b"").digest()
"""The head of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry (section 2.1.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The tree head over leaf hashes (section 2.1.1)."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


class Frontier:
    """A tree that only grows: the heads of its complete subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._heads: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Append a leaf hash."""
        self._heads.append(leaf)
        self.size += 1
        done = self.size
        while done % 2 == 0:  # two subtrees of one size become one
            right = self._heads.pop()
            self._heads.append(node_hash(self._heads.pop(), right))
            done //= 2

    def root(self) -> bytes:
        """The tree head so far."""
        if not self._heads:
            return EMPTY
        head = self._heads[-1]
        for left in reversed(self._heads[:-1]):
            head = node_hash(left, head)
        return head


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """That a leaf is in the tree (section 2.1.3.1).

    Args:
        leaves: All leaf hashes.
        index: The leaf's place, from 0.
    """
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root_of(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root_of(leaves[:split])]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that a leaf is in the tree (section 2.1.3.2).

    Args:
        leaf: The leaf's hash.
        index: Its place.
        size: Leaves of the tree.
        proof: What `inclusion_proof` gave.
        root: The tree's head.
    """
    if not 0 <= index < size:
        return False
    at, last, head = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at % 2 or at == last:
            head = node_hash(sibling, head)
            while not at % 2 and at:
                at, last = at >> 1, last >> 1
        else:
            head = node_hash(head, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and head == root


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """That the tree over the first ``size`` leaves is the beginning of this one (2.1.4.1).

    Args:
        leaves: All leaf hashes.
        size: Leaves of the older tree.
    """
    return list(_older(leaves, size, whole=True)) if 0 < size < len(leaves) else []


def consistent(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether a proof shows that one tree is the beginning of another (section 2.1.4.2)."""
    if not 0 <= old_size <= size:
        return False
    if old_size in (0, size):
        return not proof and old_root == (EMPTY if old_size == 0 else root)
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:  # a complete tree is a node of the proof itself
        nodes.insert(0, old_root)
    if not nodes:
        return False
    at, last = old_size - 1, size - 1
    while at % 2:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if at % 2 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not at % 2 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == root


def _older(leaves: Sequence[bytes], size: int, *, whole: bool) -> Iterator[bytes]:
    if size == len(leaves):
        if not whole:
            yield root_of(leaves)
        return
    split = _split(len(leaves))
    if size <= split:
        yield from _older(leaves[:split], size, whole=whole)
        yield root_of(leaves[split:])
    else:
        yield from _older(leaves[split:], size - split, whole=False)
        yield root_of(leaves[:split])


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1
