"""Every template with every slip of some kinds, one at a time: what no policy finds is listed here, with the reason."""

import copy
import itertools
from contextlib import ExitStack, contextmanager

import limits
import nodes
import policies
import pytest
from policies import findings

DELETED = object()


@contextmanager
def changed(parent, key, value):
    """A node with another value, for a while: a copy of a template for each slip would take minutes."""
    before = copy.copy(parent)
    if value is DELETED:
        del parent[key]
    else:
        parent[key] = value
    yield
    if isinstance(parent, list):
        parent[:] = before
    else:
        parent.clear()
        parent.update(before)


@pytest.fixture(params=policies.JUDGED)
def path(request):
    return request.param


@pytest.fixture
def copied(path, templates):
    """A template that may be changed."""
    return copy.deepcopy(templates[path])


def places(node, way=()):
    """Every place below a node: its parent, its key, and the way to it."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key, (*way, key)
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))


def shown(way):
    return "/".join(map(str, way))


def notices(policy, template):
    """Whether a policy finds something, other than that it cannot follow the template."""
    return any(not finding.startswith(policies.CANNOT_JUDGE) for finding in policies.judge(policy, template))


def unnoticed(path, template, slips):
    """The ways to the slips that no policy finds."""
    missed, order = [], list(policies.JUDGED[path])
    for way, slip in slips:
        with slip:
            finder = next((policy for policy in order if notices(policy, template)), None)
        if finder is None:
            missed.append(shown(way))
        else:
            # What found this one is likely to find the next.
            order.insert(0, order.pop(order.index(finder)))
    return missed


def numbers(template):
    """Every number of a property or a parameter."""
    for part in ("Resources", "Parameters"):
        for name, node in template[part].items():
            facts = node.get("Properties", {}) if part == "Resources" else node if limits.is_number(node) else {}
            for parent, key, way in places(facts, (name,)):
                # The API's definition has none that costs anything. Arguments of functions are places, and sizes of
                # networks.
                is_argument = any(str(step).startswith("Fn::") and step != "Fn::If" for step in way)
                if way[1] != "Body" and not is_argument and limits.as_number(parent[key]) is not None:
                    yield parent, key, way


def times(value, factor):
    number = limits.as_number(value) * factor
    return f"{number:g}" if isinstance(value, str) else number


# Aurora that sleeps.
ZERO_IS_FINE = {"MinCapacity/Default"}


def slips_of_numbers(template, factor, except_for=()):
    for parent, key, way in numbers(template):
        if parent[key] not in (0, "0") and shown(way) not in except_for:
            yield way, changed(parent, key, times(parent[key], factor))


def test_a_number_with_three_zeros_too_many_is_noticed(path, copied):
    assert unnoticed(path, copied, slips_of_numbers(copied, 1000)) == []


def test_a_number_that_became_zero_is_noticed(path, copied):
    assert unnoticed(path, copied, slips_of_numbers(copied, 0, ZERO_IS_FINE)) == []


def allowing(template):
    """Every statement that allows something, also those under a condition."""
    for resource in template["Resources"].values():
        for node in nodes.walk(resource.get("Properties", {})):
            if node.get("Effect") == "Allow" and "Principal" not in node:
                yield node


ROLE = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"
WIDER = {
    "everything": "*",
    "everything of an account": {"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:*"},
    "any role": {"Fn::Sub": ROLE},
    "any role, joined": {"Fn::Join": [":", ["arn:aws:iam:", {"Ref": "AWS::AccountId"}, "role/*"]]},
}


@pytest.mark.parametrize("wider", WIDER)
def test_a_right_that_reaches_further_is_noticed(path, copied, wider):
    slips = [
        ((node["Action"], node["Resource"]), changed(node, "Resource", WIDER[wider]))
        for node in allowing(copied)
        # Actions that know no resource are for all as they are.
        if node["Resource"] != WIDER[wider]
    ]
    assert unnoticed(path, copied, slips) == []


@pytest.mark.parametrize("key", ["Action", "Resource", "Condition"])
def test_a_right_without_its_action_resource_or_condition_is_noticed(path, copied, key):
    slips = [((node["Action"], key), changed(node, key, DELETED)) for node in allowing(copied) if key in node]
    assert unnoticed(path, copied, slips) == []


@pytest.mark.parametrize("action", ["*", "iam:PassRole", "sts:AssumeRole"])
def test_a_right_to_one_more_action_is_noticed(path, copied, action):
    slips = [
        ((node["Action"], action), changed(node, "Action", [*nodes.listed(node["Action"]), action]))
        for node in allowing(copied)
        if action not in nodes.listed(node["Action"])
    ]
    assert unnoticed(path, copied, slips) == []


def test_what_is_no_longer_denied_is_noticed(path, copied):
    slips = [
        (way, changed(parent, key, DELETED))
        for parent, key, way in places(copied["Resources"])
        if isinstance(parent[key], dict) and parent[key].get("Effect") == "Deny"
    ]
    assert unnoticed(path, copied, slips) == []
    assert len(slips) == {"template.yaml": 4, "infra/github-oidc.yaml": 5}.get(path, 0)


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": "123456789012"}, {"Service": "ec2.amazonaws.com"}])
def test_somebody_else_who_is_trusted_is_noticed(path, copied, principal):
    slips = [
        (way, changed(parent, key, principal))
        for parent, key, way in places(copied["Resources"])
        # Everybody may ask an API, but for whom a Deny keeps out.
        if key == "Principal" and parent.get("Effect") != "Deny" and parent[key] != principal
    ]
    assert unnoticed(path, copied, slips) == []


def shapes(template):
    """A place of each shape: resources of a type are alike, parameters are, and so are the items of a list."""
    seen = set()
    for parent, key, way in places(template):
        kind = template["Resources"].get(way[1], {}).get("Type") if way[1:] and way[0] == "Resources" else len(way)
        # Paths of the API differ in what they are called only. No policy looks for anything in what is for people.
        inside = [step for step in way[2:] if isinstance(step, str) and not step.startswith("/")]
        shape = (way[0], kind, *(inside if way[0] not in ("Metadata", "Rules") else ()))
        if shape not in seen:
            seen.add(shape)
            yield parent, key, way


# So many places at once, far from each other: one at a time would take a minute.
AT_ONCE = 8


def test_an_odd_template_is_judged_all_the_same(path, copied):
    """A policy that cannot follow it says so, and the others go on."""
    odd = itertools.cycle([DELETED, None, [], {"Ref": "Gone"}, "odd"])
    every = list(shapes(copied))
    rounds = -(-len(every) // AT_ONCE)
    for start in range(rounds):
        with ExitStack() as changes:
            for parent, key, _ in every[start::rounds]:
                # Unless it went with something else.
                if isinstance(parent, list) and key < len(parent) or key in parent:
                    changes.enter_context(changed(parent, key, next(odd)))
            found = findings(path, copied)
        assert found and all(isinstance(finding, str) for finding in found), start
    assert findings(path, copied) == []
