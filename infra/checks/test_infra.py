"""The templates beside the main one."""

import json
from fnmatch import fnmatchcase

import policies
import pytest
from policies import branches, listed, of_type, properties, statements, target
from translate import ROOT, source, translated


@pytest.fixture(scope="module")
def database():
    return source("infra/database.yaml")


@pytest.fixture(scope="module")
def network():
    return source("infra/network.yaml")


@pytest.fixture(scope="module")
def github():
    return source("infra/github-oidc.yaml")


# --- database.yaml


def test_data_is_encrypted_kept_and_not_public(database):
    for kind in ("RDS::DBInstance", "RDS::DBCluster"):
        for name, resource in of_type(database, kind).items():
            facts = resource["Properties"]
            if kind == "RDS::DBInstance":
                assert facts["PubliclyAccessible"] is False, name
            if "DBClusterIdentifier" in facts:
                continue  # Its data is the cluster's.
            assert facts["StorageEncrypted"] is True, name
            assert target(facts["BackupRetentionPeriod"]) == "BackupDays"
            assert target(facts["DeletionProtection"]) == "DeletionProtection"
            assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Snapshot"
    ((_, secret),) = of_type(database, "SecretsManager::Secret").items()
    assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert database["Parameters"]["BackupDays"]["MinValue"] >= 1
    assert database["Parameters"]["DeletionProtection"]["Default"] == "true"


@pytest.mark.parametrize("kind", ["RDS::DBInstance", "RDS::DBCluster"])
def test_a_given_key_is_that_of_disk_and_secret(kind, database):
    key = {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    for name, facts in properties(database, kind).items():
        assert facts.get("KmsKeyId") == key or "DBClusterIdentifier" in facts, name
    (secret,) = properties(database, "SecretsManager::Secret").values()
    assert secret["KmsKeyId"] == key


def test_the_log_and_the_machine_are_watched_where_it_is_asked_for(database, network):
    exports = {"Fn::If": ["ExportsLog", ["postgresql"], {"Ref": "AWS::NoValue"}]}
    for kind in ("RDS::DBInstance", "RDS::DBCluster"):
        for name, facts in properties(database, kind).items():
            assert "DBClusterIdentifier" in facts or facts["EnableCloudwatchLogsExports"] == exports, name
            assert kind == "RDS::DBCluster" or facts["MonitoringInterval"] == {"Ref": "MonitoringSeconds"}
    for template, names in ((database, ["MonitoringRole"]), (network, ["FlowLogGroup", "FlowLogRole", "FlowLog"])):
        for name in names:
            assert template["Resources"][name]["Condition"] in ("IsMonitored", "HasFlowLogs")
    flow = network["Resources"]["FlowLog"]["Properties"]
    assert (target(flow["ResourceId"]), flow["TrafficType"], target(flow["LogGroupName"])) == ("Vpc", "ALL", "FlowLogGroup")
    (statement,) = [it for name, it in statements(network) if name == "FlowLogRole"]
    assert target(statement["Resource"]) == "FlowLogGroup"


def test_the_documented_key_lets_logs_and_alarms_use_it():
    account, *services = json.loads((ROOT / "infra/key-policy.json").read_text())["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}
    found = {service: it for it in services for service in listed(it["Principal"]["Service"])}
    assert set(found) == {"logs.REGION.amazonaws.com", "cloudwatch.amazonaws.com"}
    for it in found.values():
        assert {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(it["Action"])
        # For this account only.
        assert "ACCOUNT" in str(it["Condition"])


def test_the_disk_grows_as_far_as_it_is_let(database):
    (instance,) = [facts for facts in properties(database, "RDS::DBInstance").values() if "AllocatedStorage" in facts]
    assert target(instance["AllocatedStorage"]) == "StorageGb"
    assert target(instance["MaxAllocatedStorage"]) == "MaxStorageGb"
    least, most = (database["Parameters"][name] for name in ("StorageGb", "MaxStorageGb"))
    # A tenth more, or RDS refuses it.
    for key in ("Default", "MinValue", "MaxValue"):
        assert most[key] >= 1.1 * least[key]


def test_plain_text_connections_are_refused(database):
    for kind in ("RDS::DBParameterGroup", "RDS::DBClusterParameterGroup"):
        ((name, group),) = properties(database, kind).items()
        assert group["Parameters"]["rds.force_ssl"] == "1"
        used = [
            facts
            for users in ("RDS::DBInstance", "RDS::DBCluster")
            for facts in properties(database, users).values()
            if name in map(target, facts.values())
        ]
        assert used, name


def test_the_password_is_made_by_aws_and_seen_by_nobody(database):
    ((_, secret),) = properties(database, "SecretsManager::Secret").items()
    assert secret["GenerateSecretString"]["PasswordLength"] >= 32
    assert "SecretString" not in secret
    for kind in ("RDS::DBInstance", "RDS::DBCluster"):
        for facts in properties(database, kind).values():
            password = facts.get("MasterUserPassword")
            assert password is None or password["Fn::Sub"].startswith("{{resolve:secretsmanager:${Secret}:")
    # With host, port and database, which the functions read there.
    ((_, attachment),) = properties(database, "SecretsManager::SecretTargetAttachment").items()
    assert set(map(target, branches(attachment["TargetId"]))) == {"Instance", "Cluster"}
    assert "mergeline" in (secret["GenerateSecretString"]["SecretStringTemplate"])


def test_only_the_functions_reach_the_database(database):
    ((name, group),) = properties(database, "EC2::SecurityGroup").items()
    (way,) = group["SecurityGroupIngress"]
    assert (way["FromPort"], way["ToPort"]) == (5432, 5432)
    assert target(way["SourceSecurityGroupId"]) == "FunctionsSecurityGroupId"
    assert [out["CidrIp"] for out in group["SecurityGroupEgress"]] == ["127.0.0.1/32"]
    for kind, key in (("RDS::DBInstance", "VPCSecurityGroups"), ("RDS::DBCluster", "VpcSecurityGroupIds")):
        for facts in properties(database, kind).values():
            assert "DBClusterIdentifier" in facts or [target(it) for it in facts[key]] == [name]


# --- network.yaml


def test_what_costs_names_its_price(network):
    for name in ("NatGateways", "SecretsEndpoint"):
        assert "USD" in network["Parameters"][name]["Description"]
    assert "NAT" in network["Description"] and "USD" in network["Description"]


def test_private_subnets_have_no_way_in(network):
    subnets = properties(network, "EC2::Subnet")
    assert len(subnets) == 4
    assert not any(subnet.get("MapPublicIpOnLaunch") for subnet in subnets.values())
    ways = {target(route["RouteTableId"]): route for route in properties(network, "EC2::Route").values()}
    for join in properties(network, "EC2::SubnetRouteTableAssociation").values():
        route = ways[target(join["RouteTableId"])]
        is_private = target(join["SubnetId"]).startswith("Private")
        assert ("NatGatewayId" in route, "GatewayId" in route) == (is_private, not is_private)


def test_functions_are_called_by_nobody_through_the_network(network):
    group = properties(network, "EC2::SecurityGroup")["FunctionsSecurityGroup"]
    assert "SecurityGroupIngress" not in group
    assert {out["FromPort"] for out in group["SecurityGroupEgress"]} == {443, 5432}


def test_s3_is_reached_without_nat(network):
    endpoint = properties(network, "EC2::VPCEndpoint")["S3Endpoint"]
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert set(map(target, endpoint["RouteTableIds"])) == {"PrivateRoutesA", "PrivateRoutesB"}


def test_the_outputs_of_one_template_are_the_parameters_of_the_next(network, database, written):
    assert {"SubnetIds", "SecurityGroupIds"} <= set(network["Outputs"]) & set(written["Parameters"])
    assert {"VpcId", "SubnetIds"} <= set(network["Outputs"]) & set(database["Parameters"])
    assert {"DatabaseSecretArn", "DatabaseInstanceId"} <= set(database["Outputs"]) & set(written["Parameters"])


# --- github-oidc.yaml


def test_only_one_environment_of_one_repository_may_deploy(github):
    (trust,) = properties(github, "IAM::Role")["DeployRole"]["AssumeRolePolicyDocument"]["Statement"]
    (issuer,) = [provider["Url"] for provider in properties(github, "IAM::OIDCProvider").values()]
    host = issuer.removeprefix("https://")
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    # Exactly: no `StringLike`, no star.
    assert trust["Condition"] == {
        "StringEquals": {
            f"{host}:aud": "sts.amazonaws.com",
            f"{host}:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
        }
    }
    for name in ("Repository", "Environment"):
        assert "*" not in github["Parameters"][name]["AllowedPattern"]


def test_github_hands_over_and_does_not_make(github):
    allowed = {
        action
        for name, statement in statements(github)
        if name == "DeployRole"
        for action in listed(statement["Action"])
    }
    assert not any("*" in action for action in allowed)
    assert {action.split(":")[0] for action in allowed} == {"apigateway", "cloudformation", "iam", "lambda", "s3"}
    assert {action for action in allowed if action.startswith("iam")} == {"iam:PassRole"}
    assert {action for action in allowed if action.startswith("lambda")} == {"lambda:InvokeFunction"}


def test_roles_are_passed_to_named_services_only(github):
    passing = [statement for _, statement in statements(github) if "iam:PassRole" in listed(statement["Action"])]
    assert len(passing) == 2
    for statement in passing:
        assert statement["Resource"] != "*"
        assert statement["Condition"]["StringEquals"]["iam:PassedToService"]


def test_what_makes_roles_makes_them_inside_the_boundary(github):
    making = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DeleteRolePolicy"}
    for name, statement in statements(github):
        if name == "ExecutionRole" and making & set(listed(statement["Action"])):
            assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
        actions = listed(statement["Action"])
        assert "*" not in actions and "iam:*" not in actions, name
        assert "iam:DeleteRolePermissionsBoundary" not in actions
    ((_, keep_out),) = properties(github, "IAM::RolePolicy").items()
    deny = keep_out["PolicyDocument"]["Statement"][0]
    assert (deny["Effect"], deny["Action"]) == ("Deny", "iam:*")
    assert set(map(target, deny["Resource"])) == {"ExecutionRole", "DeployRole", "Boundary"}


def test_there_is_no_way_to_the_functions_beside_the_gateway(github, template):
    ((_, keep_out),) = properties(github, "IAM::RolePolicy").items()
    denied = {it["Action"]: it for it in keep_out["PolicyDocument"]["Statement"]}
    assert all(it["Effect"] == "Deny" for it in denied.values())
    for action in ("CreateFunctionUrlConfig", "UpdateFunctionUrlConfig", "InvokeFunctionUrl"):
        assert fnmatchcase(f"lambda:{action}", "lambda:*FunctionUrl*")
    assert denied["lambda:*FunctionUrl*"]["Resource"] == "*"
    assert "Condition" not in denied["lambda:*FunctionUrl*"]
    invokers = denied["lambda:AddPermission"]["Condition"]
    assert invokers == {"StringNotEquals": {"lambda:Principal": "apigateway.amazonaws.com"}}
    # And the stack makes none.
    assert {it["Principal"] for it in properties(template, "Lambda::Permission").values()} == {"apigateway.amazonaws.com"}
    assert properties(template, "Lambda::Url") == {}


def of_api_gateway(github, role):
    """The statements about API Gateway without those about a domain, with what they ask of tags."""
    for name, it in statements(github):
        resources = [resource["Fn::Sub"].split("::/")[1] for resource in listed(it["Resource"]) if "::/" in str(resource)]
        if name == role and resources and not any("domainnames" in resource for resource in resources):
            yield set(resources), set(listed(it["Action"])), it.get("Condition", {}).get("StringEquals", {})


def test_a_key_of_another_api_is_not_read(github):
    for role in ("DeployRole", "ExecutionRole"):
        for resources, actions, tags in of_api_gateway(github, role):
            if "apigateway:GET" in actions and any(it.startswith("apikeys") for it in resources):
                assert tags == {"aws:ResourceTag/mergeline-stack": {"Ref": "StackName"}}
                # The list of all has no tags.
                assert "apikeys" not in resources


def test_apis_of_others_are_left_alone(github, template):
    for resources, actions, tags in of_api_gateway(github, "ExecutionRole"):
        # Neither knows tags. A firewall is one that was given.
        if resources == {"account"} or any(action.startswith("wafv2:") for action in actions):
            continue
        if actions == {"apigateway:UpdateRestApiPolicy"}:
            continue
        is_made = actions == {"apigateway:POST"} or (actions, resources) == ({"apigateway:PUT"}, {"tags/*"})
        assert tags == {f"aws:{'Request' if is_made else 'Resource'}Tag/mergeline-stack": {"Ref": "StackName"}}
    # Otherwise CloudFormation could not touch them again.
    for kind in ("RestApi", "Stage", "ApiKey", "UsagePlan"):
        for name, facts in properties(template, f"ApiGateway::{kind}").items():
            assert {"Key": "mergeline-stack", "Value": {"Ref": "AWS::StackName"}} in facts["Tags"], name
    ((_, keep_out),) = properties(github, "IAM::RolePolicy").items()
    (others,) = [it for it in keep_out["PolicyDocument"]["Statement"] if it["Action"] == "apigateway:*"]
    assert others["Condition"] == {
        "StringNotEquals": {"aws:ResourceTag/mergeline-stack": {"Ref": "StackName"}},
        "Null": {"aws:ResourceTag/mergeline-stack": "false"},
    }


def test_the_role_for_the_logs_of_all_apis_is_set_only_where_it_is_asked_for(github, written):
    for template in (github, written):
        assert template["Parameters"]["AccessLogs"]["Default"] == "none"
        assert template["Conditions"]["SetsLogsRole"] == {"Fn::Equals": [{"Ref": "AccessLogs"}, "with-role"]}
    (policy,) = properties(github, "IAM::Role")["ExecutionRole"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        assert "::/account" not in str(statement) or statement["Fn::If"][0] == "SetsLogsRole"
    for name in ("ApiGatewayLogsRole", "ApiGatewayAccount"):
        assert written["Resources"][name]["Condition"] == "SetsLogsRole"


def test_values_of_secrets_are_not_read_by_what_deploys(github):
    for name, statement in statements(github):
        if name != "Boundary":
            assert not [action for action in listed(statement["Action"]) if action == "secretsmanager:GetSecretValue"]
            assert "secretsmanager:*" not in listed(statement["Action"])


def test_cloudformation_may_read_back_the_policy_that_it_makes(github):
    actions = [listed(statement["Action"]) for _, statement in statements(github)]
    (allowed,) = [allowed for allowed in actions if "iam:CreatePolicy" in allowed]
    assert {"iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListEntitiesForPolicy"} <= set(allowed)


def test_secrets_of_others_are_out_of_reach(github, template):
    def may_read(statement):
        return "secretsmanager:GetSecretValue" in listed(statement["Action"])

    readable = [it["Resource"] for name, it in statements(github) if name == "Boundary" and may_read(it)]
    own, given = readable
    assert given == {"Fn::Split": [",", {"Ref": "SecretArns"}]}
    reach = own["Fn::Sub"].rsplit(":", 1)[1]
    assert reach == "${StackName}/*"
    for secret in properties(template, "SecretsManager::Secret").values():
        name = secret["Name"]["Fn::Sub"]
        arn_ends = {stack: name.replace("${AWS::StackName}", stack) + "-AbCdEf" for stack in ("mergeline", "mergeline-prod")}
        for stack in arn_ends:
            within = {it for it, end in arn_ends.items() if fnmatchcase(end, reach.replace("${StackName}", stack))}
            assert within == {stack}
    (made,) = [
        it["Resource"]
        for name, it in statements(github)
        if name == "ExecutionRole" and "secretsmanager:CreateSecret" in listed(it["Action"])
    ]
    assert made == own


def test_what_knows_no_resource_is_allowed_for_all(github):
    for_all = {
        action
        for name, it in statements(github)
        if name == "ExecutionRole" and listed(it["Resource"]) == ["*"] and "Condition" not in it
        for action in listed(it["Action"])
    }
    # Subscriptions have ARNs, which IAM does not know.
    assert {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"} <= for_all
    assert not any("*" in action for action in for_all)


def test_the_boundary_allows_what_the_roles_of_the_stack_do(github, template):
    most = {action for name, it in statements(github) if name == "Boundary" for action in listed(it["Action"])}

    def is_inside(action):
        return action in most or f"{action.split(':')[0]}:*" in most

    needed = {action for _, it in statements(template) if it["Effect"] == "Allow" for action in listed(it["Action"])}
    assert [action for action in sorted(needed) if not is_inside(action)] == []


def for_a_domain(github, condition):
    """The statements that are there only under a condition."""
    (policy,) = properties(github, "IAM::Role")["ExecutionRole"]["Policies"]
    chosen = [it["Fn::If"] for it in policy["PolicyDocument"]["Statement"] if "Fn::If" in it]
    return [one for name, one, other in chosen if name == condition and other == {"Ref": "AWS::NoValue"}]


def test_a_stack_without_a_domain_may_not_touch_any(github):
    conditional = for_a_domain(github, "HasDomain") + for_a_domain(github, "HasZone")
    for _, statement in statements(github):
        reaches = "domainnames" in str(statement["Resource"]) or "route53" in str(statement["Action"])
        assert not reaches or statement in conditional


def test_only_the_given_domain_and_its_record_are_in_reach(github):
    making, changing = for_a_domain(github, "HasDomain")
    # Making one is asked of the collection of all.
    assert listed(making["Action"]) == ["apigateway:POST"]
    own = "arn:${AWS::Partition}:apigateway:${AWS::Region}::/domainnames/${DomainName}"
    assert [it["Fn::Sub"] for it in changing["Resource"]] == [own, f"{own}/apimappings", f"{own}/apimappings/*"]
    for statement in for_a_domain(github, "HasZone"):
        if "route53:ChangeResourceRecordSets" in listed(statement["Action"]):
            assert statement["Condition"] == {
                "ForAllValues:StringEquals": {
                    "route53:ChangeResourceRecordSetsNormalizedRecordNames": [{"Ref": "DomainName"}],
                    "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
                }
            }
        of_a_change = listed(statement["Action"]) == ["route53:GetChange"]
        end = ":change/*" if of_a_change else ":hostedzone/${HostedZoneId}"
        assert statement["Resource"]["Fn::Sub"].endswith(end)


def test_a_domain_is_made_with_what_was_given(written):
    domain, mapping, record = (written["Resources"][name] for name in ("Domain", "DomainMapping", "DomainRecord"))
    assert [it["Condition"] for it in (domain, mapping, record)] == ["HasDomain", "HasDomain", "HasDomainRecord"]
    facts = domain["Properties"]
    assert facts["SecurityPolicy"] == {"Ref": "TlsPolicy"}
    assert not {"TLS_1_0", "TLS_1_1"} & set(written["Parameters"]["TlsPolicy"]["AllowedValues"])
    assert facts["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert (target(facts["DomainName"]), target(facts["RegionalCertificateArn"])) == ("DomainName", "CertificateArn")
    # A BasePathMapping would refuse `delivery/v1`.
    assert mapping["Type"] == "AWS::ApiGatewayV2::ApiMapping"
    facts = mapping["Properties"]
    assert [target(facts[key]) for key in ("DomainName", "ApiId", "Stage")] == ["Domain", "Gateway", "Gateway.Stage"]
    path = {"Fn::If": ["HasBasePath", {"Ref": "BasePath"}, {"Ref": "AWS::NoValue"}]}
    assert facts["ApiMappingKey"] == path
    facts = record["Properties"]
    assert (target(facts["HostedZoneId"]), target(facts["Name"])) == ("HostedZoneId", "DomainName")
    assert set(map(target, facts["AliasTarget"].values())) == {"Domain"}
    with_path, without, *_ = branches(written["Outputs"]["ApiUrl"]["Value"])
    assert (with_path["Fn::Sub"], without["Fn::Sub"]) == ("https://${DomainName}/${BasePath}", "https://${DomainName}")


def test_a_changed_layer_parameter_or_secret_publishes_a_version():
    def deployed(second):
        resources = translated(second=second)["Resources"]
        (version,) = [it for it in resources.values() if it["Type"] == "AWS::Lambda::Version"]
        return resources["Api"]["Properties"], version["Properties"]

    (function, version), (later_function, later_version) = deployed(0), deployed(1)
    # Lambda refuses to publish what did not change, and CloudFormation makes no other version of the same description.
    assert function["Description"] != later_function["Description"]
    assert version["Description"] != later_version["Description"]
    # A version has everything that the function has, the layer of infra/config too.
    assert any("TeamsLayer" in str(layer) for layer in function["Layers"])


def test_the_bill_counts_what_is_watched(template):
    def metrics(*conditions):
        alarms = policies.of_type(template, "CloudWatch::Alarm").values()
        return sum(len(policies.queries(it["Properties"])) for it in alarms if it.get("Condition") in conditions)

    costs = (ROOT / "docs/costs.md").read_text()
    composed = policies.of_type(template, "CloudWatch::CompositeAlarm")
    usual, of_database = metrics(None, "HasAlarms"), metrics("AlarmsOfDatabase")
    # Webhooks and access logs have rows of their own.
    assert (of_database, len(composed)) == (3, 1)
    assert f"| {usual + of_database}, three of them with `DatabaseInstanceId`, and one composed; {metrics(None)} with" in costs
    assert f"{0.1 * (usual + of_database) + 0.5:.2f} |" in costs


def test_a_rollout_may_be_made_by_what_deploys(github):
    actions = {
        (action, str(resource))
        for name, it in statements(github)
        if name == "ExecutionRole"
        for action in listed(it["Action"])
        for resource in listed(it["Resource"])
    }
    for kind in ("application", "deploymentgroup"):
        assert any(action == "codedeploy:*" and f":{kind}:${{StackName}}-*" in place for action, place in actions)
    assert any(action == "codedeploy:GetDeploymentConfig" for action, _ in actions)
    passing = [it for name, it in statements(github) if name == "ExecutionRole" and it["Action"] == "iam:PassRole"]
    assert "codedeploy.amazonaws.com" in passing[0]["Condition"]["StringEquals"]["iam:PassedToService"]


def test_a_creation_that_failed_leaves_nothing_in_the_way(github):
    for kind in ("IAM::OIDCProvider", "S3::Bucket"):
        ((_, kept),) = of_type(github, kind).items()
        assert (kept["DeletionPolicy"], kept["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_uploads_are_private_and_encrypted(github):
    bucket = properties(github, "S3::Bucket")["Artifacts"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["BucketEncryption"]
    (deny,) = properties(github, "S3::BucketPolicy")["ArtifactsPolicy"]["PolicyDocument"]["Statement"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
