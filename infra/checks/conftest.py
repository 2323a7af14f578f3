import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from policies import JUDGED  # noqa: E402
from translate import source, translated  # noqa: E402


@pytest.fixture(scope="session")
def template():
    """template.yaml as CloudFormation sees it. Not to be changed."""
    return translated()


@pytest.fixture(scope="session")
def templates(template):
    """Every template, as CloudFormation sees it. Not to be changed."""
    return {path: template if path == "template.yaml" else source(path) for path in JUDGED}


@pytest.fixture(scope="session")
def written():
    """template.yaml as it is written."""
    return source()
