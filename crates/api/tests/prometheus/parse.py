"""Prints the gauges of an exposition as JSON, read by Prometheus's own parser."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

families = list(text_string_to_metric_families(sys.stdin.buffer.read().decode()))
assert len({family.name for family in families}) == len(families), "a gauge occurs twice"
samples = [sample for family in families for sample in family.samples]
keys = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples}
assert len(keys) == len(samples), "a sample occurs twice"
for family in families:
    assert family.type == "gauge" and family.documentation, family.name
    assert all(sample.name == family.name for sample in family.samples), family.name
json.dump(
    {
        "help": {family.name: family.documentation for family in families},
        "samples": [[sample.name, sample.labels, sample.value] for sample in samples],
    },
    sys.stdout,
)
