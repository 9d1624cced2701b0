from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Order(_message.Message):
    __slots__ = ("version", "run", "study", "site", "round", "purpose", "phase", "memory", "body", "payload_sha256", "payload_bytes", "deadline")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    STUDY_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    study: str
    site: str
    round: int
    purpose: str
    phase: str
    memory: int
    body: str
    payload_sha256: str
    payload_bytes: int
    deadline: float
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., study: _Optional[str] = ..., site: _Optional[str] = ..., round: _Optional[int] = ..., purpose: _Optional[str] = ..., phase: _Optional[str] = ..., memory: _Optional[int] = ..., body: _Optional[str] = ..., payload_sha256: _Optional[str] = ..., payload_bytes: _Optional[int] = ..., deadline: _Optional[float] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("version", "run", "site", "order", "base_sha256", "refusal", "message", "payload_sha256", "payload_bytes", "seconds")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    BASE_SHA256_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_SHA256_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    site: str
    order: str
    base_sha256: str
    refusal: str
    message: str
    payload_sha256: str
    payload_bytes: int
    seconds: float
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., site: _Optional[str] = ..., order: _Optional[str] = ..., base_sha256: _Optional[str] = ..., refusal: _Optional[str] = ..., message: _Optional[str] = ..., payload_sha256: _Optional[str] = ..., payload_bytes: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...
