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
# Where `sam deploy` would have put what `sam build` made.
BUCKET = "mergeline-artifacts"
CODE = {"Collector": "collector.zip", "Api": "api.zip", "TeamsLayer": "teams.zip"}


class NoManagedPolicies:
    """The template gives roles, so no policy has to be looked up by its name."""

    def load(self):
        return {}


def source(path="template.yaml"):
    """A template as it is written."""
    return yaml_parse((ROOT / path).read_text())


def translated(parameters=None, template=None, second=0):
    """The template as CloudFormation sees it with these parameters, when it is deployed in a second of the clock."""
    apigateway.time = SimpleNamespace(time=lambda: second)
    template = copy.deepcopy(template or source())
    for name, key in CODE.items():
        resource = template["Resources"][name]
        resource.pop("Metadata", None)
        uri = "ContentUri" if resource["Type"].endswith("LayerVersion") else "CodeUri"
        resource["Properties"][uri] = f"s3://{BUCKET}/{key}"
    template["Globals"]["Function"].pop("CodeUri")
    plain = transform(template, dict(parameters or {}), NoManagedPolicies())
    return json.loads(json.dumps(plain))


if __name__ == "__main__":
    json.dump(translated(), sys.stdout, indent=1)
