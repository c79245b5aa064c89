"""The zone's counters for Prometheus. Source: the text exposition format, by prometheus_client."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from carcloud.api.ports import StatusSource

COUNTERS = {
    "batches": "Batches received from cars",
    "samples_in": "Samples received from cars",
    "samples_kept": "Samples that passed the guards",
    "samples_transformed": "Samples that the governance made less exact",
    "quarantined": "Batches kept in quarantine",
    "chunks": "Chunks written to the governed stream",
}
GAUGES = {
    ("stream", "raw_waiting"): "Messages received and not yet governed",
    ("stream", "raw_bytes"): "Bytes received and not yet governed",
    ("stream", "governed_bytes"): "Bytes of the governed stream on disk",
    ("lake", "rows"): "Rows in the lake",
    ("lake", "bytes"): "Bytes of the lake's live files",
    ("lake", "files"): "Live files of the lake",
    ("vehicles", "enrolled"): "Cars enrolled",
    ("vehicles", "connected"): "Cars connected now",
    ("vehicles", "reporting"): "Cars heard of lately",
}
DELAYS = {"twin_s": "receipt to twin", "lake_s": "receipt to lake"}


class ZoneCollector(Collector):
    """Turns the newest status and the processes' own numbers into metrics when they are asked for."""

    def __init__(self, source: StatusSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield every metric there is a value for."""
        status = self._source.status()
        yield GaugeMetricFamily("carcloud_up", "1 once the zone's processes report", value=float(status is not None))
        if status is not None:
            yield from _zone(status)
        yield from self._processes()

    def _processes(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "carcloud_process", "A number that a process of the zone told last", labels=["process", "name"]
        )
        for process, numbers in sorted(self._source.processes().items()):
            for name, number in sorted(numbers.items()):
                if isinstance(number, int | float):
                    family.add_metric([process, name], float(number))
        yield family


def _zone(status: object) -> Iterator[Metric]:
    assert isinstance(status, dict)
    stream = status.get("stream", {})
    for name, says in COUNTERS.items():
        yield CounterMetricFamily(f"carcloud_{name}", says, value=stream.get(name, 0))
    refused = CounterMetricFamily("carcloud_refused", "Samples and batches refused, by cause", labels=["cause"])
    for cause, count in sorted(stream.get("refused", {}).items()):
        refused.add_metric([cause], count)
    yield refused
    for (room, name), says in GAUGES.items():
        yield GaugeMetricFamily(f"carcloud_{room}_{name}", says, value=status.get(room, {}).get(name, 0))
    for name, says in DELAYS.items():
        spread = {key: value for key, value in status.get("delay", {}).get(name, {}).items() if value is not None}
        family = GaugeMetricFamily(f"carcloud_delay_{name}econds", f"Delay from {says}", labels=["quantile"])
        for quantile, seconds in sorted(spread.items()):
            family.add_metric([{"p50": "0.5", "p99": "0.99"}[quantile]], seconds)
        yield family
    parts = GaugeMetricFamily("carcloud_part_up", "1 while the part is up", labels=["part"])
    restarts = CounterMetricFamily("carcloud_part_restarts", "Restarts of the part", labels=["part"])
    for part, state in sorted(status.get("parts", {}).items()):
        parts.add_metric([part], float(state.get("state") == "up"))
        restarts.add_metric([part], state.get("restarts", 0))
    yield from (parts, restarts)
    yield GaugeMetricFamily("carcloud_alarms", "Alarms that stand", value=len(status.get("alarms", [])))
