"""Changes to a template that policies have to notice."""

import nodes


def properties(template, name):
    return template["Resources"][name]["Properties"]


def statement(template, role, action):
    for name, it in nodes.statements(template):
        if name == role and action in nodes.listed(it["Action"]):
            return it
    raise LookupError(action)


def put(path, value):
    """A change: the value at a path below the resources."""

    def change(template):
        *way, last = path.split("/")
        node = template["Resources"]
        for step in way:
            node = node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return change


def add(kind, **facts):
    """A change: one more resource."""
    return lambda template: template["Resources"].update(Added={"Type": f"AWS::{kind}", "Properties": facts})


def anyone(principal):
    """A policy that lets somebody do everything."""
    one = {"Effect": "Allow", "Principal": principal, "Action": "*", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [one]}
