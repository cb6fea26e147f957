"""What may stand in the YAML files of the catalogue: strict, every unknown key is an error (docs/add-an-sdk.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_ID = r"^[a-z0-9][a-z0-9._+-]{0,63}$"

Id = Annotated[str, Field(pattern=_ID)]
UrlPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]{1,12}[kmg]?$")]
Kind = Literal["embed", "chat-stream", "similarity", "chat-image", "probe"]
CpuLevel = Literal["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"]
TextUnit = Literal["words", "characters"]
Text = Annotated[str, Field(min_length=1)]
BuildVariable = Literal["GOAMD64", "CGO_CFLAGS", "CGO_CXXFLAGS", "CGO_CPPFLAGS", "CGO_LDFLAGS"]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Word = Annotated[str, Field(pattern=r"^[^\x00]+$")]
Folder = Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,200}$")]
Settings = dict[Text, Line | int | Annotated[float, Field(allow_inf_nan=False)] | bool]
ModelFile = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Count = Annotated[int, Field(ge=0, le=10_000_000)]
Models = dict[Kind, Annotated[list[ModelFile], Field(min_length=1)]]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class SdkWorkload(Strict):
    id: Id
    backends: Annotated[list[Id], Field(min_length=1)]


class Alias(Strict):
    name: Id
    note: str = ""


class Moved(Strict):
    setting: Text
    value: str
    reason: Text


class Sdk(Strict):
    id: Id
    module: Text
    version: Text
    licence: Text
    workloads: Annotated[list[SdkWorkload], Field(min_length=1)]
    wire: Id = "openai"
    aliases: list[Alias] = []
    lineage: str = ""
    built_on: list[str] = []
    memory: Memory = "512m"
    settings_moved: list[Moved] = []
    package: Folder = "."
    build: Literal["go"] = "go"
    cgo: bool = False
    build_environment: dict[BuildVariable, str] = {}
    environment: dict[Variable, Line] = {}
    native: list[Id] = []
    models: Models = {}
    cpu_level: CpuLevel = "x86-64-v1"
    text_unit: TextUnit = "words"
    special_tokens: Annotated[int, Field(ge=0, le=16)] = 0
    null: bool = False


class Workload(Strict):
    id: Id
    kind: Kind
    unit: str
    arrival: Literal["poisson", "constant"]
    rate_hz: Annotated[float, Field(gt=0, lt=1e6)]
    tokens: Count = 0
    dimensions: Count = 0
    vectors: Count = 0
    top: Count = 0
    drives: Annotated[list[Literal["open", "closed", "bench", "probe"]], Field(min_length=1)]
    backend: Settings = {}
    compared: list[str] = []


class Backend(Strict):
    id: Id
    tier: Literal["stub", "simulator", "tiny-model", "your-model"]
    wires: Annotated[dict[Id, UrlPath], Field(min_length=1)]
    port: Annotated[int, Field(ge=0, lt=65536)] = 0
    tls_port: Annotated[int, Field(ge=0, lt=65536)] = 0
    ready: Annotated[str, Field(pattern=r"^((tcp:|http://)[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}(/[!-~]*)?)?$")] = ""
    note: str = ""
    licence: str = ""
    model: str = ""
    command: Annotated[list[Word], Field(min_length=1)] = ["/repro/backend"]
    commands: dict[Kind, Annotated[list[Word], Field(min_length=1)]] = {}
    memory: Memory = "256m"
    pids: Annotated[int, Field(ge=16, le=4096)] = 256
    settings: Settings = {}
    environment: dict[Variable, Line] = {}
    build: Literal["go", "native", "none"] = "go"
    package: Folder = "."
    main: Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._/-]*$")] | None = None
    cgo: bool = False
    build_environment: dict[BuildVariable, str] = {}
    native: list[Id] = []
    program: str = ""
    models: Models = {}
    cpu_level: CpuLevel = "x86-64-v1"
    drive: Literal["open", "closed"] = "open"
    text_unit: TextUnit = "words"
    special_tokens: Annotated[int, Field(ge=0, le=16)] = 0
