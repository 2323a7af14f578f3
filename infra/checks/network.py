"""Policies of infra/network.yaml, and of security groups anywhere."""

import access
from nodes import branches, listed, properties, target, written

# Where connections may go, and nowhere else: protocol, ports, destination.
DESTINATIONS = [
    ("tcp", 443, 443, "0.0.0.0/0"),
    ("tcp", 5432, 5432, {"Ref": "Cidr"}),
    # A stack that sends mail by SMTP opens one of two ports.
    ("tcp", {"Ref": "SmtpPort"}, {"Ref": "SmtpPort"}, "0.0.0.0/0"),
    # Nowhere: without a rule, AWS allows everything.
    ("-1", None, None, "127.0.0.1/32"),
]


def rules(template, way):
    """Every rule of every security group, also those that are resources of their own."""
    for name, group in properties(template, "EC2::SecurityGroup").items():
        for rule in listed(group.get(f"SecurityGroup{way}", [])):
            yield name, rule
    yield from properties(template, f"EC2::SecurityGroup{way}").items()


def nobody_comes_in_from_outside(template):
    """Who comes in has another security group, and one port is enough."""
    for name, rule in rules(template, "Ingress"):
        if not target(rule.get("SourceSecurityGroupId", {})) or {key for key in rule if key.startswith("Cidr")}:
            yield f"{name} lets in {written(rule)}"
        ports = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
        if ports not in [("tcp", 443, 443), ("tcp", 5432, 5432)]:
            yield f"{name} lets in by {ports}"


def connections_go_where_they_should(template):
    for name, rule in rules(template, "Egress"):
        group = target(rule.get("DestinationSecurityGroupId", {}))
        ways = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
        if group in properties(template, "EC2::SecurityGroup") and ways == ("tcp", 5432, 5432) and not any(
            key.startswith("Cidr") for key in rule
        ):
            continue
        way = tuple(rule.get(key) for key in ("IpProtocol", "FromPort", "ToPort", "CidrIp"))
        if way not in DESTINATIONS or {key for key in rule if key.startswith("Destination") or key == "CidrIpv6"}:
            yield f"{name} lets out {written(rule)}"
    for name, group in properties(template, "EC2::SecurityGroup").items():
        if not group.get("SecurityGroupEgress"):
            yield f"{name} lets out everything"


FUNCTIONS = "FunctionsSecurityGroup"


def functions_are_called_by_nobody(template):
    group = properties(template, "EC2::SecurityGroup")[FUNCTIONS]
    if [target(rule) or name for name, rule in rules(template, "Ingress") if name == FUNCTIONS]:
        yield "functions are called through the network"
    if {rule.get("FromPort") for rule in group["SecurityGroupEgress"]} != {443, 5432}:
        yield "functions do not reach GitHub, AWS and the database"
    for name, rule in rules(template, "Ingress"):
        if target(rule.get("SourceSecurityGroupId", {})) != FUNCTIONS:
            yield f"{name} is reached by others than the functions"


def subnets_are_private(template):
    """Public ones are for NAT gateways only, and every private one has a way out through one."""
    subnets = properties(template, "EC2::Subnet")
    for name, subnet in subnets.items():
        if subnet.get("MapPublicIpOnLaunch") or subnet.get("AssignIpv6AddressOnCreation"):
            yield f"{name} gives out public addresses"
    ways = {target(route["RouteTableId"]): route for route in properties(template, "EC2::Route").values()}
    joined = {}
    for join in properties(template, "EC2::SubnetRouteTableAssociation").values():
        joined[target(join["SubnetId"])] = ways[target(join["RouteTableId"])]
    for name in subnets:
        keys = {"NatGatewayId"} if name.startswith("Private") else {"GatewayId"}
        if name not in joined or set(joined[name]) != {"RouteTableId", "DestinationCidrBlock"} | keys:
            yield f"{name} has another way out"
    inside = {
        "NAT": [nat["SubnetId"] for nat in properties(template, "EC2::NatGateway").values()],
        "the outside": [template["Outputs"]["SubnetIds"]["Value"]["Fn::Join"][1]],
        "endpoints": [at for it in properties(template, "EC2::VPCEndpoint").values() for at in it.get("SubnetIds", [])],
    }
    for what, places in inside.items():
        wanted = "Public" if what == "NAT" else "Private"
        for place in (target(branch) for at in places for branch in listed(at)):
            if not place.startswith(wanted):
                yield f"{place} is for {what}"
    if len({written(subnet["CidrBlock"]) for subnet in subnets.values()}) != len(subnets) or len(subnets) != 4:
        yield "subnets share their addresses"


def a_zone_has_its_own_way_out(template):
    """Where two NAT gateways are paid for, both are used."""
    gateways = properties(template, "EC2::NatGateway")
    routes = [route.get("NatGatewayId") for route in properties(template, "EC2::Route").values()]
    used = {target(branch) for route in routes if route for branch in branches(route)}
    if used != set(gateways):
        yield f"of {sorted(gateways)}, {sorted(used, key=str)} are used"


def private_ways_lead_to_the_functions(template):
    """S3 without NAT, and secrets where that is wanted."""
    endpoints = properties(template, "EC2::VPCEndpoint")
    s3 = endpoints["S3Endpoint"]
    routes = {"PrivateRoutesA", "PrivateRoutesB"}
    if s3["VpcEndpointType"] != "Gateway" or set(map(target, s3["RouteTableIds"])) != routes:
        yield "S3 is reached through NAT"
    for name, endpoint in endpoints.items():
        if endpoint["VpcEndpointType"] == "Interface" and endpoint.get("PrivateDnsEnabled") is not True:
            yield f"{name} is paid for and not used"


def flow_logs_are_written_by_their_role(template):
    needed = {
        ("FlowLogRole", f"logs:{action}", "FlowLogGroup", "{}")
        for action in ("CreateLogStream", "DescribeLogStreams", "PutLogEvents")
    } | {("FlowLogRole", "logs:DescribeLogGroups", "*", "{}")}
    yield from access.differences(set(access.rights(template)), needed)
    (log,) = properties(template, "EC2::FlowLog").values()
    facts = [target(log[key]) for key in ("ResourceId", "LogGroupName", "DeliverLogsPermissionArn")]
    if facts != ["Vpc", "FlowLogGroup", "FlowLogRole"] or log["TrafficType"] != "ALL":
        yield f"flow logs are about {facts}"


def what_costs_names_its_price(template):
    for text in [template["Description"]] + [
        template["Parameters"][name]["Description"] for name in ("NatGateways", "SecretsEndpoint", "FlowLogs")
    ]:
        if "USD" not in text:
            yield f"no price: {text}"
    for name, default in (("NatGateways", "1"), ("SecretsEndpoint", "no"), ("FlowLogs", "no")):
        if template["Parameters"][name]["Default"] != default:
            yield f"{name} costs without being asked for"


POLICIES = [
    functions_are_called_by_nobody,
    subnets_are_private,
    a_zone_has_its_own_way_out,
    private_ways_lead_to_the_functions,
    access.roles_are_taken_by_their_users,
    flow_logs_are_written_by_their_role,
    what_costs_names_its_price,
]
