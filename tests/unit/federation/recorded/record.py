"""Records what this version of the wire looks like, before the next one comes.

Run once per wire version, from the repository, with the last code that speaks it::

    python tests/unit/federation/recorded/record.py

It writes ``vN/`` beside itself: a sealed order, the sealed reply to it, and what a real site of
this version answers to an order of the next one (each as `Sealed.pieces` lays it out), with the
public keys to check them by. The keys were made for the occasion and their private halves thrown
away, so nobody can make these files again: they are what the old program wrote, not what a newer
one thinks it wrote. Version 1 was recorded at commit 3ffa901. All numbers are made up.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medfed.core.update import Update
from medfed.federation import wire, wire_pb2
from medfed.federation.keys import public_pem
from medfed.federation.spool import encode_update
from medfed.services.sites import create_site, trust

HERE = Path(__file__).parent


def record() -> None:
    """Write the files of the version that this program speaks."""
    out = HERE / f"v{wire.VERSION}"
    out.mkdir()
    coordinator = Ed25519PrivateKey.generate()
    with tempfile.TemporaryDirectory() as folder:
        site = create_site(Path(folder) / "north", "north", None)
        trust(Path(folder) / "north", coordinator.public_key())
        site.coordinator = coordinator.public_key()
        order, sealed = _order(coordinator)
        messages = {
            "order": sealed,
            "reply": _reply(order, site.key),
            "refusal": site.handle(_of_the_next_version(sealed, coordinator)),
        }
        keys = {"coordinator": coordinator.public_key(), "site": site.key.public_key()}
    for name, message in messages.items():
        (out / f"{name}.bin").write_bytes(b"".join(message.pieces()))
    for name, key in keys.items():
        (out / f"{name}.pub").write_bytes(public_pem(key))
    (out / "order-id.txt").write_text(f"{order.id}\n", encoding="utf-8")


def _order(key: Ed25519PrivateKey) -> tuple[wire.Order, wire.Sealed]:
    model = {"model/weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
    payload = encode_update(Update(model))
    body = {"facts": {"scaling": {"mean": [1.5]}}, "execution": {"threads": 1}, "score": ["valid"]}
    order = wire.Order(
        run="made-up-run",
        study="5" * 64,
        site="north",
        round=3,
        purpose="train",
        phase="update",
        memory=2,
        body=json.dumps(body, sort_keys=True, separators=(",", ":")),
        payload_sha256=wire.sha256(payload),
        payload_bytes=len(payload),
    )
    return order, wire.seal(order, key, payload)


def _reply(order: wire.Order, key: Ed25519PrivateKey) -> wire.Sealed:
    model = {"model/weight": np.full((2, 3), 0.25, np.float32)}
    payload = encode_update(Update(model, {"model": 12.0}, {"train/examples": np.array(12.0)}))
    reply = wire.Reply(
        run=order.run,
        site=order.site,
        order=order.id,
        base_sha256=order.payload_sha256,
        refusal="",
        message="",
        payload_sha256=wire.sha256(payload),
        payload_bytes=len(payload),
    )
    return wire.seal(reply, key, payload)


def _of_the_next_version(sealed: wire.Sealed, key: Ed25519PrivateKey) -> wire.Sealed:
    message = wire_pb2.Order.FromString(sealed.header)
    message.version = wire.VERSION + 1
    header = message.SerializeToString(deterministic=True)
    domain = f"medfed {wire_pb2.Order.DESCRIPTOR.full_name}\0".encode()
    return wire.Sealed(header, key.sign(domain + header), sealed.payload)


if __name__ == "__main__":
    record()
