"""Sums that hide their terms: the secure sum at both ends, and the encrypted sum beside bare calls.

At the coordinator both sums read the same spool from the page cache; a secure sum ends with all
masks off. At a site, masking is compared with what it cannot do without: one pass from float32 to
fixed point, and one stream of AES in counter mode as long as the update, both in one thread. A site
masks on all its cores; what they work together is told beside it.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _common import Row, arguments, ratio, report, row, timings
from _pipelined import pipelined
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from medfed.aggregators.mean import Mean
from medfed.aggregators.secure.seated import DRAWER, Talk
from medfed.aggregators.secure.site import SecureSite
from medfed.aggregators.secure.sum import SecureSum
from medfed.core.aggregator import Seat
from medfed.core.errors import Refused
from medfed.core.update import Update
from medfed.federation.spool import SpooledUpdate, encode_update

SITES = 10
FULL, QUICK = 10_000_000, 1_000_000
LOST = ("s03", "s07")
ALONE = 500
"""Numbers with a ciphertext of their own that are timed; ten thousand would take seven minutes."""


def make_update(site: int, size: int) -> Update:
    rng = np.random.default_rng(site)
    layers = np.array_split(100 * rng.standard_normal(size, dtype=np.float32), 8)
    tensors = {f"model/layer{i}.weight": layer for i, layer in enumerate(layers)}
    return Update(tensors, {"model": 100.0 + site}, {"loss": np.array(1.0)})


class Federation:
    """Sites that answer into a spool, and an `ask` that gives the spool back.

    Args:
        folder: Where replies lie.
        size: Parameters.
        lost: Sites that are lost before their masked part arrives.
    """

    def __init__(self, folder: Path, size: int, lost: tuple[str, ...] = ()) -> None:
        self.folder, self.size, self.lost = folder, size, lost
        self.names = tuple(f"s{i:02}" for i in range(SITES))
        keys = {name: Ed25519PrivateKey.generate() for name in self.names}
        peers = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
        self.sites = {
            name: SecureSum().seated(
                Seat(name, self.names, peers, keys[name].sign, b"", 3, {}, str, lambda _: None)
            )
            for name in self.names
        }
        self.replies: dict[str, list[SpooledUpdate]] = {}

    def ask(self, phase: str, each: Any, *together: str) -> list[SpooledUpdate]:
        """Have every site answer, one after another; their replies lie in the spool."""
        assert not together
        step = phase.partition("-")[0]
        found = []
        for i, (name, site) in enumerate(self.sites.items()):
            if name in self.lost and step in ("masked", "agree", "unmask"):
                continue
            work = partial(make_update, i, self.size)
            try:
                reply, _ = site.answer(phase, each.get(name, Update()), work, {})
            except Refused as no:
                raise SystemExit(f"{name} refused: {no}") from no
            path = self.folder / f"{name}-{step}.safetensors"
            path.write_bytes(encode_update(reply))
            found.append(SpooledUpdate(path, name))
        self.replies[step] = found
        return found

    def again(self, phase: str, each: Any, *together: str) -> list[SpooledUpdate]:
        """The replies that lie in the spool."""
        return self.replies[phase.partition("-")[0]]


def plain_files(folder: Path, size: int) -> list[Path]:
    paths = [folder / f"{i:02}.safetensors" for i in range(SITES)]
    for i, path in enumerate(paths):
        path.write_bytes(encode_update(make_update(i, size)))
    return paths


def plain_sum(paths: list[Path]) -> Update:
    spooled = [SpooledUpdate(path, path.stem) for path in paths]
    return Mean().gather(lambda *_: spooled, {}).total


def at_the_coordinator(folder: Path, size: int, repeats: int) -> list[Row]:
    paths = plain_files(folder, size)
    functions: dict[str, Callable[[], object]] = {"plain": lambda: plain_sum(paths)}
    for name, lost in (("none", ()), ("two", LOST)):
        place = folder / name
        place.mkdir()
        federation = Federation(place, size, lost)
        result = SecureSum().gather(federation.ask, {})
        if not lost:
            check(result.total, plain_sum(paths), result.notes["rounding"])
        functions[name] = partial(SecureSum().gather, federation.again, {})
    took = timings(functions, repeats)
    what = label(size)
    return [
        row(
            f"{what}: secure sum against a plain one", ratio(took["none"], took["plain"]), "×", 2.5
        ),
        row(f"{what}: with two sites lost", ratio(took["two"], took["plain"]), "×"),
        *(
            row(f"{what}: {name}", 1000 * median(took[key]), "ms")
            for key, name in (("plain", "plain sum"), ("none", "secure sum"), ("two", "two lost"))
        ),
    ]


def check(total: Update, plain: Update, rounding: float) -> None:
    weight = plain.weights["model"]
    for name, value in plain.tensors.items():
        apart = np.abs(total.tensors[name] - value).max() / weight
        assert apart <= rounding + np.spacing(np.abs(value).max()) / weight, (name, apart)


def at_a_site(folder: Path, size: int, repeats: int) -> list[Row]:
    federation = Federation(folder, size)
    SecureSum().gather(federation.ask, {})  # rosters and shares as they are in a real round
    name = federation.names[4]
    site = federation.sites[name]
    assert isinstance(site, SecureSite)
    update = make_update(4, size)
    talk = prepared(federation, name, update)
    flat = np.concatenate([t.reshape(-1) for t in update.tensors.values()])

    def bare() -> None:
        fixed_point(flat)
        stream(4 * size)

    def mask() -> object:
        return site._words(talk, talk.roster)  # type: ignore[arg-type]  # noqa: SLF001

    def floor() -> None:
        fixed_point(flat)
        for _ in range(SITES):  # one for each other site, and the site's own
            stream(4 * size)

    took = timings({"mask": mask, "bare": bare, "floor": floor}, repeats)
    worked = timings({"mask": mask, "bare": bare}, repeats, time.process_time)
    what = f"{size / 1e6:g} M parameters, {SITES} sites"
    return [
        row(
            f"{what}: masking against one pass and one stream",
            ratio(took["mask"], took["bare"]),
            "×",
            3.0,
        ),
        row(
            f"{what}: masking, its cores' work together",
            ratio(worked["mask"], worked["bare"]),
            "×",
        ),
        row(
            f"{what}: one pass and {SITES} streams alone, not added",
            ratio(took["floor"], took["bare"]),
            "×",
        ),
        row(f"{what}: masking", 1000 * median(took["mask"]), "ms"),
    ]


def prepared(federation: Federation, name: str, update: Update) -> Talk:
    """A site's conversation as it is when shares have come."""
    kept: list[Talk] = []

    def ask(phase: str, each: Any, *together: str) -> list[SpooledUpdate]:
        if phase.startswith("masked"):
            talk = federation.sites[name].seat.drawer[DRAWER]  # type: ignore[attr-defined]
            talk.sharers = federation.names
            kept.append(talk)
            raise StopIteration
        return federation.ask(phase, each, *together)

    try:
        SecureSum().gather(ask, {})
    except StopIteration:
        return Talk(**{**vars(kept[0]), "update": update})
    raise AssertionError


def fixed_point(flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One pass from float32 to whole steps, in pieces that stay in the cache."""
    words, floats = np.empty(flat.size, np.int32), np.empty(1 << 14)
    for start in range(0, flat.size, floats.size):
        piece = floats[: min(floats.size, flat.size - start)]
        np.multiply(flat[start : start + piece.size], 1638.4, out=piece)
        np.rint(piece, out=piece)
        words[start : start + piece.size] = piece
    return words


def stream(count: int) -> None:
    """One stream of AES in counter mode, in the same pieces."""
    encryptor = Cipher(algorithms.AES128(bytes(16)), modes.CTR(bytes(16))).encryptor()
    zeros, buffer = bytes(1 << 16), bytearray((1 << 16) + 16)
    for _ in range(0, count, len(zeros)):
        encryptor.update_into(zeros, buffer)


def encrypted(folder: Path, size: int, repeats: int) -> list[Row]:
    """Three sites' encrypted sum, and the library's calls that it cannot do without."""
    from medfed.aggregators.encrypted import context as ckks
    from medfed.aggregators.encrypted import crew
    from medfed.aggregators.encrypted.ckks_scheme import CkksScheme, numbers_of
    from medfed.aggregators.encrypted.pieces import packed, streamed, unpacked
    from medfed.aggregators.secure.layout import Layout
    from medfed.aggregators.secure.messages import message

    scheme = CkksScheme()
    context = ckks.make()
    public = ckks.opened(ckks.without_keys(context), secret=False)
    update = make_update(0, size)
    layout = Layout.of(update)
    count = scheme.count(layout)

    def ours() -> object:
        ciphertexts = packed(
            scheme.encrypt(context, scheme.written(update, layout), slice(None)), count
        )
        path = folder / "part.safetensors"
        path.write_bytes(encode_update(message({}, ciphertexts)))
        parts = [SpooledUpdate(path, name) for name in ("north", "centre", "south")]
        total = message({}, packed((scheme.add(public, p) for p in streamed(parts)), count))
        return ckks.decrypt(context, unpacked(total), layout.size + 1)

    def on_one_core() -> object:
        cores, crew.CORES = crew.CORES, 1
        try:
            return ours()
        finally:
            crew.CORES = cores

    flat = np.concatenate(list(vars(numbers_of(update, layout)).values()))
    ways = {"ours": ours, "one": on_one_core, "bare": lambda: bare(context, public, flat)}
    took = timings(ways, repeats)
    what = f"CKKS, {size / 1e6:g} M parameters"
    return [
        row(
            f"{what}: encrypt, add three, decrypt over bare calls",
            ratio(took["ours"], took["bare"]),
            "×",
            1.2,
        ),
        row(f"{what}: the same on one core", ratio(took["one"], took["bare"]), "×"),
        row(f"{what}: encrypt, add three, decrypt", median(took["ours"]), "s"),
    ]


def bare(context: Any, public: Any, flat: np.ndarray[Any, Any]) -> list[float]:
    """Encrypt once, add three times, decrypt once, piece by piece, by the library alone."""
    import tenseal

    slots, found = 4096, []
    for start in range(0, flat.size, slots):
        blob = tenseal.ckks_vector(context, flat[start : start + slots]).serialize()
        total = tenseal.ckks_vector_from(public, blob)
        for _ in range(2):
            total.add_(tenseal.ckks_vector_from(public, blob))
        found += tenseal.ckks_vector_from(context, total.serialize()).decrypt()
    return found


def packing(values: int, repeats: int) -> list[Row]:
    """Three sites' sum under Paillier: many numbers in a ciphertext, against one in each."""
    from medfed.aggregators.encrypted import paillier_keys as paillier
    from medfed.aggregators.encrypted.paillier_scheme import PaillierScheme
    from medfed.aggregators.secure.layout import Layout

    kit, scheme = paillier.make(), PaillierScheme(131072.0, 3)
    numbers = 100 * np.random.default_rng(0).standard_normal(values, dtype=np.float32)
    update = Update({"model/a": numbers}, {"model": 1.0})
    layout = Layout.of(update)

    def packed() -> object:
        blobs = list(scheme.encrypt(kit, scheme.written(update, layout), slice(None)))
        total = [scheme.add(kit, (blob, blob, blob)) for blob in blobs]
        return scheme.decrypt(kit, iter(total), layout, 3)

    few = numbers[:ALONE]

    def unpacked() -> object:
        blobs = [paillier.encrypted(kit, int(1000 * number) + 2**20) for number in few]
        total = [scheme.add(kit, (blob, blob, blob)) for blob in blobs]
        return [paillier.decrypted(kit, blob) for blob in total]

    start = time.perf_counter()
    unpacked()
    alone = (time.perf_counter() - start) * values / few.size
    took = timings({"packed": packed}, repeats)["packed"]
    what = f"Paillier, {values:,} values".replace(",", " ")
    # Each number costs the same, whatever else is summed: no ciphertext knows of another.
    how = f"scaled up from {few.size}" if few.size < values else "all of them"
    return [
        row(f"{what}: unpacked ({how}) over packed", alone / median(took), "×", 50, "higher"),
        row(f"{what}: packed: encrypt, add three, decrypt", median(took), "s"),
        row(f"{what}: unpacked, {how}", alone, "s"),
    ]


def label(size: int) -> str:
    return f"{SITES} × {size / 1e6:g} M parameters"


def main() -> None:
    options = arguments(__doc__).parse_args()
    size, repeats = (QUICK, 5) if options.quick else (FULL, 7)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="medfed-sums-") as name:
        for measure in (at_the_coordinator, at_a_site):
            folder = Path(name) / measure.__name__
            folder.mkdir()
            rows += measure(folder, size, repeats)
            shutil.rmtree(folder)
        if find_spec("tenseal"):
            rows += encrypted(Path(name), QUICK // 4 if options.quick else QUICK, 7)
            if find_spec("flwr"):
                rows += pipelined(2 * QUICK, 1) if options.quick else pipelined(4 * QUICK, 3)
        if find_spec("heu"):
            rows += packing(300 if options.quick else 10_000, 3)
    report(rows, as_json=options.json)


if __name__ == "__main__":
    main()
