"""A made-up run, to report."""

import json
import struct
import zlib

from medfed.storage.run_folder import RunFolder

STUDY = """
title = "Tumours"
question = "Malignant or benign?"
sites = ["north", "south"]
rounds = 4
min_sites = 1
keep = "best"
[source]
name = "breast-cancer"
[split]
name = "hash"
valid = 0.2
[task]
name = "tabular-classification"
target = "diagnosis"
positive = "= malignant"
numeric = ["mean radius", "mean texture"]
[strategy]
name = "fedavg"
[compression]
name = "top-k"
"""
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>&amp; $x^2$ {{ 7*7 }}'


def interval(value, width=0.06):
    return {"value": value, "low": value - width, "high": value + width}


def row(round_, at, missing=None, **changes):
    scored = {"auc": 0.5 + 0.08 * round_, "accuracy": 0.5, "loss": 0.7 - 0.1 * round_}
    made = {"round": round_, "set": "valid", "metrics": scored, "seconds": 0.0}
    made["sites"] = dict.fromkeys(at, scored)
    if round_:
        made |= {
            "participants": [site for site in at if site not in (missing or {})],
            "missing": missing or {},
            "seconds": 1.5,
            "site_seconds": dict.fromkeys(at, 0.5),
            "bytes_up": 2_000_000,
            "bytes_down": 1_000_000,
            "loss": 0.6 / round_,
            "site_loss": dict.fromkeys(at, 0.6 / round_),
        }
    return made | changes


def result_of(study, sites=None):
    figures = {"auc": interval(0.82), "accuracy": interval(0.8), "loss": interval(0.4, 0.01)}
    by_site = {site: dict(figures) for site in study.sites} if sites is None else sites
    return {
        "schema": 1,
        "study": study.digest,
        "engine": "local",
        "rounds": 4,
        "model_sha256": "cd" * 32,
        "metrics": {"overall": figures, "sites": by_site},
        "patients": {"overall": 162, **dict.fromkeys(study.sites, 81)},
        "kept_round": 3,
        "importance": {"mean radius": interval(0.2), "mean texture": interval(0.01)},
        "seconds": 83.4,
        "bytes_up": 8_000_000,
        "bytes_down": 4_000_000,
        "run_dir": "somewhere",
    }


def new_run(path, study, rows, text=None, **record):
    folder = RunFolder(path)
    about = {"run": "ab" * 8, "engine": "local", "workers": 0, "study": study.digest}
    about |= {"execution": {"threads": 2}, "environment": {"medfed": "0.1.0"}}
    folder.create(study, text, about | record)
    for one in rows:
        folder.add_row(one)
    return folder


def png():
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def put_pictures(folder, caption):
    pictures = folder.path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(png())
    (pictures / "not.png").write_text("<script>")
    (folder.path.parent / "secret.png").write_bytes(png())
    files = ("a.png", "../../secret.png", "absent.png", "not.png")
    index = [{"file": file, "caption": caption} for file in files]
    (pictures / "index.json").write_text(json.dumps(index))
