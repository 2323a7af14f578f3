"""How the policies read a template: resources by type, what a value may become, what it refers to."""

import json
import re

VARIABLE = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")
NOTHING = {"Ref": "AWS::NoValue"}


def of_type(template, kind):
    """The resources of a type, by name: `Lambda::Function`."""
    return {
        name: {"Properties": {}, **resource}
        for name, resource in template["Resources"].items()
        if resource["Type"] == f"AWS::{kind}"
    }


def properties(template, kind):
    return {name: resource["Properties"] for name, resource in of_type(template, kind).items()}


def branches(value):
    """The values that an `Fn::If` may choose from, without the one that stands for nothing."""
    if isinstance(value, dict) and set(value) == {"Fn::If"}:
        _, one, other = value["Fn::If"]
        return branches(one) + branches(other)
    return [] if value == NOTHING else [value]


def where(node, holds):
    """A node as it is where these conditions hold or do not: a dictionary of their names. What stands for nothing then is left out."""
    if isinstance(node, dict) and "Fn::If" in node:
        condition, one, other = node["Fn::If"]
        if condition in holds:
            return where(one if holds[condition] else other, holds)
        return {"Fn::If": [condition, where(one, holds), where(other, holds)]}
    if isinstance(node, dict):
        facts = {key: where(value, holds) for key, value in node.items()}
        return {key: value for key, value in facts.items() if value != NOTHING}
    if isinstance(node, list):
        return [value for value in (where(item, holds) for item in node) if value != NOTHING]
    return node


def listed(value):
    """A list, of one when it is none, with all that its conditions may choose."""
    items = value if isinstance(value, list) else [value]
    return [branch for item in items for branch in branches(item)]


def walk(node):
    """Every dictionary in a node, from its beginning to its end."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
        inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        left.extend(value for value in reversed(inside) if isinstance(value, dict | list))


def texts(node):
    """Every text in a node."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def names_in(node):
    """Every parameter and resource that a node refers to."""
    for item in walk(node):
        if isinstance(item.get("Ref"), str):
            yield item["Ref"]
        if "Fn::GetAtt" in item:
            target = item["Fn::GetAtt"]
            yield target[0] if isinstance(target, list) else target.split(".")[0]
        if "Fn::Sub" in item:
            text, given = item["Fn::Sub"] if isinstance(item["Fn::Sub"], list) else (item["Fn::Sub"], {})
            yield from (name.split(".")[0] for name in VARIABLE.findall(text) if name not in given)


def target(value):
    """The resource that a value refers to."""
    return next(names_in(value), None)


def documents(template):
    """Every policy of a role and every policy on its own, by the name of the role or policy."""
    for name, role in properties(template, "IAM::Role").items():
        for policy in listed(role.get("Policies", [])):
            yield name, policy["PolicyDocument"]
    for name, policy in properties(template, "IAM::ManagedPolicy").items():
        yield name, policy["PolicyDocument"]
    for kind in ("IAM::RolePolicy", "IAM::Policy"):
        for policy in properties(template, kind).values():
            for role in listed(policy.get("RoleName", policy.get("Roles"))):
                yield target(role), policy["PolicyDocument"]


def statements(template):
    """Every statement of every role and policy, with its name."""
    for name, document in documents(template):
        for statement in listed(document["Statement"]):
            yield name, statement


def written(node):
    """A node as text, the same for the same meaning."""
    return node if isinstance(node, str) else json.dumps(node, sort_keys=True)


def is_function(node):
    """Whether a node is one of CloudFormation's functions: `Ref`, `Fn::Sub`."""
    return isinstance(node, dict) and len(node) == 1 and all(key == "Ref" or key.startswith("Fn::") for key in node)
