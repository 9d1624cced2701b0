"""Files sent bit by bit, by TUS 1.0 with its extensions ``creation`` and ``termination``.

See https://tus.io/protocols/resumable-upload. A program announces a file, sends what it can, asks
after a break how much was received, and goes on from there. The protocol describes itself; it is
left out of the API's description.
"""

import base64
import binascii
from typing import BinaryIO, cast

from apiflask import APIBlueprint
from flask import Response, request, url_for

from medfed.services.hospital.uploads import LARGEST
from medfed.services.trouble import Refused
from medfed.web.metrics import meters
from medfed.web.rules import hospital, needs, streams, user

blueprint = APIBlueprint(
    "uploads", __name__, tag="data", url_prefix="/uploads", enable_openapi=False
)
VERSION = "1.0.0"
BYTES = "application/offset+octet-stream"


@blueprint.after_request
def _versioned(answer: Response) -> Response:
    answer.headers["Tus-Resumable"] = VERSION
    return answer


@blueprint.route("", methods=["OPTIONS"])
@needs("data.add")
def describe() -> Response:
    """What of the protocol is spoken."""
    answer = Response(status=204)
    answer.headers["Tus-Version"] = VERSION
    answer.headers["Tus-Extension"] = "creation,termination"
    answer.headers["Tus-Max-Size"] = str(LARGEST)
    return answer


@blueprint.post("")
@needs("data.add")
def announce() -> Response:
    """Announce a file; its metadata name it and the import that it is for."""
    if refused := _other_version():
        return refused
    about = _metadata(request.headers.get("Upload-Metadata", ""))
    length = _number("Upload-Length")
    row = hospital().uploads.begin(
        user(), about.get("import", ""), about.get("filename", ""), length
    )
    answer = Response(status=201)
    answer.headers["Location"] = url_for(".go_on", upload=row.id)
    return answer


@blueprint.route("/<upload>", methods=["HEAD", "PATCH", "DELETE", "POST"])
@needs("data.add")
@streams
def go_on(upload: str) -> Response:
    """Say how much was received, take more, or forget the file."""
    if refused := _other_version():
        return refused
    method = request.method
    if method == "POST":  # nothing else: what only looks is not asked for its token
        method = request.headers.get("X-HTTP-Method-Override", method)
    match method:
        case "HEAD":
            return _progress(upload)
        case "PATCH":
            return _more(upload)
        case "DELETE":
            hospital().uploads.remove(user(), upload)
            return Response(status=204)
    return Response(status=405, headers={"Allow": "HEAD, PATCH, DELETE"})


def _progress(upload: str) -> Response:
    row = hospital().uploads.find(user(), upload)
    answer = Response(status=200)
    answer.headers["Upload-Offset"] = str(row.received)
    answer.headers["Upload-Length"] = str(row.length)
    return answer


def _more(upload: str) -> Response:
    if request.mimetype != BYTES:
        return Response(status=415)
    here = hospital().uploads
    offset = _number("Upload-Offset")
    row = here.find(user(), upload)
    if (request.content_length or 0) > row.length - offset:
        raise Refused("this is more than was announced", remedy="Announce the whole length")
    received = here.append(user(), upload, offset, cast(BinaryIO, request.stream))
    meters().uploaded.inc(received - offset)
    answer = Response(status=204)
    answer.headers["Upload-Offset"] = str(received)
    return answer


def _other_version() -> Response | None:
    if request.headers.get("Tus-Resumable") == VERSION:
        return None
    return Response(status=412, headers={"Tus-Version": VERSION})


def _number(header: str) -> int:
    text = request.headers.get(header, "")
    if not text.isascii() or not text.isdigit() or len(text) > len(str(2**62)):
        message = f"{header} is no number of bytes"
        raise Refused(message, remedy="Look at the protocol, https://tus.io")
    return int(text)


def _metadata(header: str) -> dict[str, str]:
    """Pairs of a key and a value in base64."""
    found = {}
    for pair in filter(None, header.split(",")):
        key, _, value = pair.strip().partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            message = "Upload-Metadata cannot be read"
            raise Refused(message, remedy="Write each value in base64 of UTF-8") from None
    return found
