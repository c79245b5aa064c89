"""The files of an AWS IoT FleetWise account, sorted by what they are: signals, models, decoders, campaigns.

Rules:
* A file is one JSON object as the API takes or returns it: CreateSignalCatalog and ListSignalCatalogNodes (`nodes`),
  CreateModelManifest and ListModelManifestNodes (`nodes`), CreateDecoderManifest, ListDecoderManifestSignals and
  ListDecoderManifestNetworkInterfaces, CreateCampaign and GetCampaign.
* Pages of one list may lie in several files, in any order. A page that names a next one is remarked upon.

Source: AWS IoT FleetWise API Reference, 2021-06-17.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle import document
from carcloud.vehicle.fleetwise.record import Record, Remark, shown

LIMIT_FILES = 1000
LIMIT_FILE_BYTES = 32 * 1024 * 1024

_SUMMARIES = ("campaignSummaries", "summaries", "vehicleSummaries", "fleetSummaries")
_METADATA = ("arn", "status", "creationTime", "lastModificationTime", "tags")
_KINDS = ("nodes", "signalDecoders", "networkInterfaces", "collectionScheme", "stateTemplateProperties")


@dataclass
class Export:
    """What the files say. `names`: the signals that models list by name. `manifest`: what the decoders are called."""

    nodes: list[Record] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    interfaces: list[Record] = field(default_factory=list)
    decoders: list[Record] = field(default_factory=list)
    campaigns: list[Record] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    manifest: str = ""


def read_export(files: Iterable[tuple[str, bytes]]) -> Export:
    """Read files by name and content.

    Raises:
        InputError: one is no JSON object, or nothing of FleetWise.
    """
    export = Export()
    for count, (name, content) in enumerate(files):
        if count == LIMIT_FILES:
            raise InputError(f"More than {LIMIT_FILES} files.", "Import them in parts.")
        _sort(Record(_object(name, content), name), name, export)
    return export


def _object(name: str, content: bytes) -> Any:
    if len(content) > LIMIT_FILE_BYTES:
        raise InputError(f"{name} has {len(content)} bytes; at most {LIMIT_FILE_BYTES}.", "Export it in pages.")
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        raise InputError(f"{name} is no JSON object.", "Give files as the FleetWise API returns them.")
    try:
        return document.load(content)
    except InputError as error:
        raise InputError(f"{name}: {error.message}", error.do) from None


def _sort(record: Record, name: str, export: Export) -> None:
    if any(key in record for key in _SUMMARIES):
        do = "Export each one by its own call, such as `aws iotfleetwise get-campaign --name NAME`."
        raise InputError(f"{name} only lists what there is.", do)
    known = [key for key in _KINDS if key in record]
    if not known and not any(key in record for key in (*_METADATA, "networkFileDefinitions", "targetArn")):
        do = f"It has none of {', '.join(_KINDS)}; export it as the FleetWise API returns it."
        raise InputError(f"{name} is nothing of FleetWise.", do)
    if "nextToken" in record:
        export.remarks.append(Remark(name, "is not the last page; give the pages that follow, too"))
    if "collectionScheme" in record:
        export.campaigns.append(record)
        return
    if "nodes" in record:
        _nodes(record, name, export)
    if "signalDecoders" in record or "networkInterfaces" in record:
        export.manifest = export.manifest or record.text("name", "")
        export.decoders += record.records("signalDecoders", "fullyQualifiedName")
        export.interfaces += record.records("networkInterfaces", "interfaceId")
    _rest(record, name, export)


def _nodes(record: Record, name: str, export: Export) -> None:
    nodes = record.items("nodes")
    texts = [node for node in nodes if isinstance(node, str)]
    export.names |= dict.fromkeys(texts, name)
    export.nodes += [Record(node, f"{name}: nodes[{at}]") for at, node in enumerate(nodes) if not isinstance(node, str)]


def _rest(record: Record, name: str, export: Export) -> None:
    if "stateTemplateProperties" in record:
        why = "the twin always keeps the last known value of every signal; no template is needed"
        export.remarks.append(Remark(f"{name}: the state template", why))
    if "networkFileDefinitions" in record:
        why = "it holds DBC files as text; give those files to a mapping directly (docs/mapping.md)"
        export.remarks.append(Remark(f"{name}: networkFileDefinitions", why))
    if "defaultForUnmappedSignals" in record:
        why = "the agent decodes only what a mapping names"
        export.remarks.append(Remark(f"{name}: defaultForUnmappedSignals", why))
    record.pass_over("stateTemplateProperties", "networkFileDefinitions", "defaultForUnmappedSignals", "nextToken")
    record.pass_over("name", "description", "nodeCounts", "message", "signalCatalogArn", "modelManifestArn", *_METADATA)
    for key, value in record.rest.items():
        export.remarks.append(Remark(f"{name}: {shown(key)}", f"is not known here ({shown(json.dumps(value))})"))
