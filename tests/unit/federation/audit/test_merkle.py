"""The Merkle tree against the test vectors of Certificate Transparency, and against any change."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from medfed.federation.audit.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    consistent,
    includes,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)

# From the reference implementation (google/certificate-transparency, merkletree tests).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = {
    (0, 1): [],
    (0, 8): [A, B, C],
    (5, 8): [D, E, ROOTS[3]],
    (2, 3): [ROOTS[1]],
    (1, 5): [ROOTS[0], B, D],
}
CONSISTENCY = {(1, 1): [], (1, 8): [A, B, C], (6, 8): [F, E, ROOTS[3]], (2, 5): [B, D]}
LEAVES = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]


def test_roots_are_the_published_ones():
    assert [root_of(LEAVES[: i + 1]).hex() for i in range(8)] == ROOTS
    assert root_of([]) == EMPTY == hashlib.sha256(b"").digest()


def test_proofs_are_the_published_ones():
    for (index, size), proof in INCLUSION.items():
        assert [n.hex() for n in inclusion_proof(LEAVES[:size], index)] == proof, (index, size)
    for (old, size), proof in CONSISTENCY.items():
        assert [n.hex() for n in consistency_proof(LEAVES[:size], old)] == proof, (old, size)


def test_a_leaf_is_no_node():
    """Second preimages: the prefixes of RFC 6962."""
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])


def plainly(leaves):
    """The head by the RFC's own recursion."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else EMPTY
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(plainly(leaves[:k]), plainly(leaves[k:]))


many = st.integers(1, 70).map(lambda n: [leaf_hash(bytes([i])) for i in range(n)])


@given(many)
def test_a_growing_tree_has_the_head_of_the_definition(leaves):
    frontier = Frontier()
    for i, leaf in enumerate(leaves):
        frontier.add(leaf)
        assert frontier.root() == plainly(leaves[: i + 1])
        assert frontier.size == i + 1


@given(many, st.data())
def test_inclusion_holds_for_the_leaf_and_for_nothing_else(leaves, data):
    size, root = len(leaves), root_of(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    assert includes(leaves[index], index, size, proof, root)
    assert not includes(leaf_hash(b"other"), index, size, proof, root)
    assert not includes(leaves[index], index, size, [*proof, root], root)
    assert not includes(leaves[index], index, size, proof, leaf_hash(b"root"))
    assert not includes(leaves[index], size, size, proof, root)
    assert not includes(leaves[index], -1, size, proof, root)
    if size > 1:
        wrong = data.draw(st.integers(0, size - 1).filter(lambda i: i != index))
        assert not includes(leaves[index], wrong, size, proof, root)
        assert not includes(leaves[index], index, size, proof[:-1], root)
        assert not includes(leaves[index], index, size, [leaf_hash(b"x"), *proof[1:]], root)


@given(many, st.data())
def test_consistency_holds_for_the_beginning_and_for_nothing_else(leaves, data):
    size, root = len(leaves), root_of(leaves)
    old = data.draw(st.integers(0, size))
    old_root, proof = root_of(leaves[:old]), consistency_proof(leaves, old)
    assert consistent(old, old_root, size, root, proof)
    assert not consistent(old, old_root, size, root, [*proof, root])
    assert not consistent(size + 1, old_root, size, root, proof)
    assert not consistent(-1, old_root, size, root, proof)
    if old:
        other = [leaf_hash(b"rewritten"), *leaves[1:]]
        assert not consistent(old, root_of(other[:old]), size, root, proof)
        forged = consistency_proof(other, old)
        assert not consistent(old, old_root, size, root_of(other), forged)
    if proof:
        assert not consistent(old, old_root, size, root, proof[:-1])
        assert not consistent(old, old_root, size, root, [])
