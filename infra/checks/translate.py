"""What CloudFormation makes of template.yaml: the Serverless transform, without AWS."""

import copy
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

from samtranslator.model import apigateway
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# It warns of features that are not switched on.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

ROOT = Path(__file__).resolve().parents[2]
# Where `sam deploy` would have put what `sam build` made: each program and the layer, by its name.
BUCKET = "mergeline-artifacts"
CODE = ("collector.zip", "api.zip", "teams.zip")


class NoManagedPolicies:
    """The template gives roles, so no policy has to be looked up by its name."""

    def load(self):
        return {}


def source(path="template.yaml"):
    """A template as it is written."""
    return yaml_parse((ROOT / path).read_text())


def program(function):
    """Which program a function runs: the one that SAM builds, or the one that is in the built file it names."""
    built = function.pop("Metadata", {}).get("BuildProperties", {}).get("Binary")
    return built or Path(function["Properties"].get("CodeUri", "none")).stem


def translated(parameters=None, template=None, second=0):
    """The template as CloudFormation sees it with these parameters, when it is deployed in a second of the clock."""
    apigateway.time = SimpleNamespace(time=lambda: second)
    template = copy.deepcopy(template or source())
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = f"s3://{BUCKET}/{program(resource)}.zip"
        elif resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = f"s3://{BUCKET}/teams.zip"
    template["Globals"]["Function"].pop("CodeUri")
    plain = transform(template, dict(parameters or {}), NoManagedPolicies())
    return json.loads(json.dumps(plain))


if __name__ == "__main__":
    json.dump(translated(), sys.stdout, indent=1)
