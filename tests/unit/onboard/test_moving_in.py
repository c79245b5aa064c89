"""A whole FleetWise account becomes files that our own loaders read, and a list of what has no equal."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.cli import app
from carcloud.errors import ConflictError, InputError
from carcloud.onboard.fleetwise import move, write
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.sources.can import Decoder
from carcloud.safety.governance.policy import pack
from carcloud.settings import CORE
from carcloud.vehicle.catalogue import parse as parse_catalogue
from carcloud.vehicle.document import load
from carcloud.vehicle.fleetwise.campaign import Terms
from carcloud.vehicle.plans.plan import parse as parse_plan

ZONE = parse_catalogue(CORE.read_bytes(), "core")
NOW = datetime(2026, 11, 23, tzinfo=UTC)
TERMS = Terms("operation", "contract", "5 MB", NOW)
EU = pack("eu")
ARN = "arn:aws:iotfleetwise:eu-central-1:000000000000:"

CATALOGUE = {
    "name": "small",
    "nodes": [
        {"branch": {"fullyQualifiedName": "Vehicle"}},
        {"sensor": {"fullyQualifiedName": "Vehicle.Speed", "dataType": "FLOAT", "unit": "km/h"}},
        {
            "sensor": {
                "fullyQualifiedName": "Vehicle.Pump.Speed",
                "dataType": "UINT16",
                "unit": "rpm",
                "min": 0,
                "max": 9000,
            }
        },
        {"sensor": {"fullyQualifiedName": "Vehicle.Pump.Temperature", "dataType": "DOUBLE", "unit": "Celsius"}},
        {
            "actuator": {
                "fullyQualifiedName": "Vehicle.Pump.Mode",
                "dataType": "STRING",
                "allowedValues": ["LOW", "HIGH"],
            }
        },
        {"sensor": {"fullyQualifiedName": "Vehicle.Pump.Step", "dataType": "UINT8", "allowedValues": ["1", "2"]}},
        {"sensor": {"fullyQualifiedName": "Vehicle.Pump.Flow", "dataType": "FLOAT", "unit": "buckets"}},
        {"sensor": {"fullyQualifiedName": "Vehicle.Pump.Since", "dataType": "UNIX_TIMESTAMP"}},
        {"attribute": {"fullyQualifiedName": "Vehicle.Pump.Maker", "dataType": "STRING", "defaultValue": "us"}},
        {"sensor": {"fullyQualifiedName": "Vehicle.Camera", "dataType": "STRUCT", "structFullyQualifiedName": "S.C"}},
        {"struct": {"fullyQualifiedName": "S.C"}},
        {"property": {"fullyQualifiedName": "S.C.X", "dataType": "FLOAT"}},
    ],
}
MODEL = {"name": "pumper", "signalCatalogArn": f"{ARN}signal-catalog/small", "nodes": ["Vehicle.Speed", "Vehicle.Gone"]}
INTERFACES = {
    "networkInterfaces": [
        {"interfaceId": "c/0", "type": "CAN_INTERFACE", "canInterface": {"name": "can0", "protocolName": "CAN"}},
        {"interfaceId": "obd", "type": "OBD_INTERFACE", "obdInterface": {"name": "can0", "requestMessageId": 2015}},
    ]
}


def can(path, message, start, length, factor=1.0, offset=0.0, big=False, **more):
    signal = {"messageId": message, "isBigEndian": big, "isSigned": False, "startBit": start, "length": length}
    signal |= {"factor": factor, "offset": offset} | more
    return {"fullyQualifiedName": path, "type": "CAN_SIGNAL", "interfaceId": "c/0", "canSignal": signal}


DECODERS = {
    "name": "pumper-v1",
    "modelManifestArn": f"{ARN}model-manifest/pumper",
    "signalDecoders": [
        can("Vehicle.Speed", 0x100, 8, 16, 0.01, big=True, name="Spd"),
        can("Vehicle.Pump.Speed", 0x100, 16, 16, 0.25),
        can("Vehicle.Pump.Temperature", 0x18FF1234, 0, 8, 0.5, -40.0),
        {
            "fullyQualifiedName": "Vehicle.Pump.Flow",
            "type": "OBD_SIGNAL",
            "interfaceId": "obd",
            "obdSignal": {"pid": 5, "serviceMode": 1},
        },
    ],
}
CAMPAIGN = {
    "name": "hot:pump",
    "status": "RUNNING",
    "signalCatalogArn": f"{ARN}signal-catalog/small",
    "targetArn": f"{ARN}fleet/all",
    "collectionScheme": {
        "conditionBasedCollectionScheme": {
            "conditionLanguageVersion": 1,
            "expression": "$variable.`Vehicle.Pump.Temperature` > 90 && $variable.`Vehicle.Speed` > 5",
            "minimumTriggerIntervalMs": 60000,
            "triggerMode": "RISING_EDGE",
        }
    },
    "postTriggerCollectionDuration": 5000,
    "priority": 2,
    "expiryTime": "2027-06-30T00:00:00+00:00",
    "spoolingMode": "TO_DISK",
    "dataExtraDimensions": ["Vehicle.Pump.Maker"],
    "signalsToCollect": [
        {"name": "Vehicle.Pump.Temperature", "minimumSamplingIntervalMs": 100, "maxSampleCount": 150},
        {"name": "Vehicle.Speed", "minimumSamplingIntervalMs": 1000, "maxSampleCount": 15},
        {"name": "Vehicle.Nowhere"},
    ],
}
TIMED = {
    "name": "always",
    "targetArn": f"{ARN}vehicle/one",
    "collectionScheme": {"timeBasedCollectionScheme": {"periodMs": 60000}},
    "compression": "OFF",
    "expiryTime": 253402214400,
    "dataPartitions": [
        {
            "id": "late",
            "storageOptions": {"storageLocation": "x", "maximumSize": {"unit": "MB", "value": 5}},
            "uploadOptions": {"expression": "$variable.`Vehicle.Speed` == 0", "conditionLanguageVersion": 1},
        },
        {"id": "empty", "uploadOptions": {"expression": "$variable.`Vehicle.Speed` == 1"}},
    ],
    "signalsToCollect": [
        {"name": "Vehicle.Pump.*", "minimumSamplingIntervalMs": 1500, "dataPartitionId": "late"},
        {"name": "Vehicle.Speed"},
    ],
}
ACCOUNT = {
    "1.json": CATALOGUE,
    "2.json": MODEL,
    "3.json": INTERFACES,
    "4.json": DECODERS,
    "5.json": CAMPAIGN,
    "6.json": TIMED,
}


def moved(*documents, zone=ZONE):
    return move([(f"{at}.json", json.dumps(one).encode()) for at, one in enumerate(documents)], zone, TERMS, EU)


@pytest.fixture(scope="module")
def account():
    return moved(*ACCOUNT.values())


@pytest.fixture(scope="module")
def catalogue(account):
    return ZONE.overlaid(parse_catalogue(account.files["overlay.yaml"], "overlay"))


def why(move, what):
    found = [remark for remark in move.remarks if what in str(remark)]
    assert found, [str(remark) for remark in move.remarks]
    return str(found[0])


def test_overlay_has_what_the_zone_lacks(catalogue, account):
    overlay = parse_catalogue(account.files["overlay.yaml"], "overlay")
    assert set(overlay) == {
        f"Vehicle.Pump.{name}" for name in ("Speed", "Temperature", "Mode", "Step", "Flow", "Since", "Maker")
    }
    assert overlay["Vehicle.Pump.Speed"].unit == "rpm"
    assert overlay["Vehicle.Pump.Step"].allowed == (1, 2)
    assert overlay["Vehicle.Pump.Mode"].kind == "actuator"
    assert overlay["Vehicle.Pump.Flow"].unit is None
    assert "buckets" in overlay["Vehicle.Pump.Flow"].description


def test_frames_of_the_car_are_read_as_fleetwise_reads_them(catalogue, account, tmp_path):
    write(account, tmp_path)
    mapping = read_mapping(tmp_path / "c-0.yaml", {path: signal.unit for path, signal in catalogue.items()})
    decoder = Decoder(mapping, None, Counter())
    decoder.feed((0, "can0", 0x100, False, bytes([0x27, 0x10, 0x21, 0x03, 0])))
    decoder.feed((1, "can0", 0x18FF1234, True, bytes([200])))
    decoder.feed((2, "can1", 0x18FF1234, True, bytes([100])))
    found = {mapping.signals[c.signal].path: list(c.values) for c in decoder.take("x", 9).blocks[0].columns}
    assert found == {"Vehicle.Speed": [100.0], "Vehicle.Pump.Speed": [200.0], "Vehicle.Pump.Temperature": [60.0]}
    assert "rounded" in why(account, "Vehicle.Pump.Speed")


def test_campaign_with_a_condition_is_a_plan(catalogue, account):
    plan = parse_plan(load(account.files["plans/hot-pump.yaml"]), catalogue)
    assert plan.when.text == "(Vehicle.Pump.Temperature > 90 Celsius) and (Vehicle.Speed > 5 km/h)"
    assert (plan.before_us, plan.after_us, plan.interval_us) == (10_000_000, 5_000_000, 60_000_000)
    assert (plan.priority, plan.purpose, plan.basis, plan.budget_bytes) == (3, "operation", "contract", 5_000_000)
    assert plan.until == datetime(2027, 6, 30, tzinfo=UTC)
    assert [(one.path, one.sampling.by) for one in plan.signals] == [
        ("Vehicle.Pump.Temperature", 100_000),
        ("Vehicle.Speed", 1_000_000),
    ]


def test_campaign_by_time_is_a_plan_for_each_of_its_partitions(catalogue, account):
    late = parse_plan(load(account.files["plans/always-late.yaml"]), catalogue)
    assert late.when is None
    assert late.upload.text == "Vehicle.Speed = 0 km/h"
    assert len(late.signals) == 7
    rest = parse_plan(load(account.files["plans/always.yaml"]), catalogue)
    assert ([one.path for one in rest.signals], rest.upload) == (["Vehicle.Speed"], None)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("Vehicle.Camera", "STRUCT"),
        ("S.C.X", "property"),
        ("Vehicle.Gone", "no file given describes it"),
        ("Vehicle.Pump.Flow", "buckets"),
        ("Vehicle.Pump.Maker: defaultValue", "values come from cars"),
        ("network interface obd", "OBD"),
        ("hot:pump: Vehicle.Nowhere", "no signal of the catalogue"),
        ("hot:pump: dataExtraDimensions", "lake"),
        ("hot:pump: targetArn", "which cars"),
        ("always: a period of 60 s", "as they come"),
        ("always: compression OFF", "always compressed"),
        ("always: its end", "2027-11-23"),
        ("always: Vehicle.Pump.*", "7 of today"),
        ("always: the storage of partition late", "queue"),
        ("always: the partition empty", "upload expression"),
        ("every condition", "60 s"),
        ("the governance eu drops them", "Vehicle.Pump.Flow"),
    ],
)
def test_what_has_no_equal_is_listed_with_the_reason(account, what, reason):
    assert reason in why(account, what)
    assert str(why(account, what)) in account.files["remarks.txt"]


def test_zones_own_signal_stands_where_fleetwise_has_it_otherwise():
    nodes = [{"sensor": {"fullyQualifiedName": "Vehicle.Speed", "dataType": "DOUBLE", "unit": "m/s"}}]
    campaign = {
        "name": "fast",
        "targetArn": "x",
        "collectionScheme": {"conditionBasedCollectionScheme": {"expression": "$variable.`Vehicle.Speed` > 10"}},
        "signalsToCollect": [{"name": "Vehicle.Speed"}],
    }
    found = moved({"nodes": nodes}, campaign)
    assert "zone's catalogue stands" in why(found, "Vehicle.Speed")
    assert "overlay.yaml" not in found.files
    plan = parse_plan(load(found.files["plans/fast.yaml"]), ZONE)
    assert plan.when.text == "Vehicle.Speed > 10 m/s"
    assert "fires when its condition becomes true" in why(found, "triggerMode ALWAYS")


def test_campaign_whose_expression_has_no_equal_is_left_out_whole():
    campaign = CAMPAIGN | {
        "collectionScheme": {"conditionBasedCollectionScheme": {"expression": "f($variable.`Vehicle.Speed`) > 1"}}
    }
    found = moved(CATALOGUE, campaign)
    assert found.plans == 0
    assert "function f" in why(found, "campaign hot:pump")


def test_campaign_that_is_over_is_left_out():
    found = moved(CATALOGUE, CAMPAIGN | {"expiryTime": 1_000_000_000})
    assert found.plans == 0
    assert "would be over" in why(found, "campaign hot-pump")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[]", "no JSON object"),
        (b"", "no JSON object"),
        (b'{"nodes": [', "Not valid JSON"),
        (b'{"nodes": [], "nodes": []}', "there twice"),
        (b'{"x": 1}', "nothing of FleetWise"),
        (b'{"nodes": {}}', "no list"),
        (b'{"nodes": [3]}', "not an object"),
        (b'{"nodes": [{"sensor": {}}]}', "no fullyQualifiedName"),
        (b'{"nodes": [{"sensor": {}, "branch": {}}]}', "is no node"),
        (b'{"nodes": [{"wheel": {"fullyQualifiedName": "A.B"}}]}', "is not known"),
        (b'{"nodes": [{"sensor": {"fullyQualifiedName": "A.B", "dataType": "FLOAT", "min": "x"}}]}', "not a number"),
        (b'{"campaignSummaries": [{}]}', "only lists"),
        (b'{"name": "x", "collectionScheme": {}}', "neither time-based"),
        (b'{"collectionScheme": {"timeBasedCollectionScheme": {"periodMs": 1}}}', "has no name"),
        (b'{"name": "x", "collectionScheme": {"timeBasedCollectionScheme": {"periodMs": NaN}}}', "NaN|nan"),
    ],
)
def test_broken_file_is_an_error_that_names_it(content, problem):
    with pytest.raises(InputError, match=problem) as caught:
        move([("bad.json", content)], ZONE, TERMS, EU)
    assert "bad.json" in caught.value.message


def test_impossible_signal_is_left_out_and_the_rest_comes_along():
    nodes = [
        {"sensor": {"fullyQualifiedName": "Lonely", "dataType": "FLOAT"}},
        {"sensor": {"fullyQualifiedName": "A..B", "dataType": "FLOAT"}},
        {"sensor": {"fullyQualifiedName": "Vehicle.Speed.Below", "dataType": "FLOAT"}},
        {"sensor": {"fullyQualifiedName": "A.B", "dataType": "UINT8", "min": 300}},
        {"sensor": {"fullyQualifiedName": "A.C", "dataType": "INT8_ARRAY"}},
    ]
    found = moved({"nodes": nodes})
    assert set(load(found.files["overlay.yaml"])["signals"]) == {"A.C"}
    for path in ("Lonely", "A..B", "Vehicle.Speed.Below", "A.B"):
        assert why(found, path)


def test_nothing_is_written_over(account, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConflictError, match="has something in it"):
        write(account, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_command_writes_all_files_and_tells_what_has_no_equal(tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    for name, document in ACCOUNT.items():
        (export / name).write_text(json.dumps(document))
    out = tmp_path / "out"
    options = ["--out", str(out), "--purpose", "research", "--data", str(tmp_path / "zone")]
    result = CliRunner().invoke(app, ["import", "fleetwise", str(export), *options])
    assert result.exit_code == 0, result.output
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    names = {"overlay.yaml", "c-0.dbc", "c-0.yaml", "remarks.txt"}
    assert written == names | {f"plans/{name}.yaml" for name in ("hot-pump", "always-late", "always")}
    assert "7 new signals, 3 mapped from CAN, 3 plans" in result.output


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"--purpose": "nonsense"}, "no purpose of the governance"),
        ({"--budget": "5 apples"}, "no size"),
    ],
)
def test_command_refuses_what_no_plan_could_say(tmp_path, changed, problem):
    given = {"--out": str(tmp_path / "out"), "--purpose": "research", "--data": str(tmp_path / "zone")} | changed
    options = [part for pair in given.items() for part in pair]
    result = CliRunner().invoke(app, ["import", "fleetwise", str(Path(tmp_path)), *options])
    assert result.exit_code == 1
    assert problem in str(result.exception)


def test_values_that_are_no_finite_numbers_are_left_out_and_names_stay_on_their_line():
    nodes = [
        {"sensor": {"fullyQualifiedName": "Vehicle.Far", "dataType": "FLOAT", "allowedValues": ["inf", "1e400"]}},
        {"sensor": {"fullyQualifiedName": "Vehicle.\ud800\nleft out: forged", "dataType": "STRUCT"}},
    ]
    said = [str(remark) for remark in moved({"name": "small", "nodes": nodes}).remarks]
    assert "left out: Vehicle.Far: allowedValues: some are no float" in said
    assert any(line.startswith("left out: Vehicle.??left out: forged: is of type STRUCT") for line in said)
    huge = {"sensor": {"fullyQualifiedName": "Vehicle.Far", "dataType": "FLOAT", "min": 10**400}}
    with pytest.raises(InputError):
        moved({"name": "small", "nodes": [huge]})
