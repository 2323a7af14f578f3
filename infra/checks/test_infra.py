"""The templates beside the main one keep their policies, and fit it and each other."""

import copy
import json
from fnmatch import fnmatchcase

import nodes
import policies
import pytest
from changes import add, anyone, properties, put, statement
from nodes import branches, target
from translate import ROOT, translated


def more(kind, **facts):
    """A change: a second resource like one that is there."""

    def change(template):
        name = next(name for name, it in template["Resources"].items() if it["Type"] == f"AWS::{kind}")
        template["Resources"]["Added"] = copy.deepcopy(template["Resources"][name])
        properties(template, "Added").update(facts)

    return change


def trust(template, role="DeployRole"):
    return properties(template, role)["AssumeRolePolicyDocument"]["Statement"][0]


def notification(template):
    return properties(template, "Budget")["NotificationsWithSubscribers"][0]


def allow(role, action, resource):
    """A change: one more right of a role."""
    one = {"Effect": "Allow", "Action": action, "Resource": resource}
    return lambda t: properties(t, role)["Policies"][0]["PolicyDocument"]["Statement"].append(one)


def widen(role, action, resource="*"):
    """A change: a right of a role for another resource."""
    return lambda template: statement(template, role, action).update(Resource=resource)


def forget(role, action):
    """A change: one right less."""

    def change(template):
        it = statement(template, role, action)
        it["Action"] = [one for one in it["Action"] if one != action] if isinstance(it["Action"], list) else []

    return change


def unconditional(role, action):
    """A change: a right that a stack has without what it is for."""

    def change(template):
        its = properties(template, role).get("Policies", [properties(template, role)])[0]["PolicyDocument"]["Statement"]
        (place,) = [n for n, it in enumerate(its) if "Fn::If" in it and action in str(it["Fn::If"][1])]
        its[place] = its[place]["Fn::If"][1]

    return change


ANY_ROLE = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"

# What each policy must notice.
BREAKS = {
    "infra/budget.yaml": {
        "only_a_budget_is_made": {
            "two": more("Budgets::Budget"),
            "one that acts": add("Budgets::BudgetsAction", ActionType="RUN_SSM_DOCUMENTS"),
        },
        "a_budget_is_what_was_asked_for": {
            "of requests": put("Budget/Properties/Budget/BudgetType", "USAGE"),
            "a year's": put("Budget/Properties/Budget/TimeUnit", "ANNUALLY"),
            "a fixed one": put("Budget/Properties/Budget/BudgetLimit/Amount", 25),
            "none": put("Budget/Properties/Budget/BudgetLimit", None),
            "in the way of its next one": put("Budget/Properties/Budget/BudgetName", "mergeline"),
            "more than a small stack costs": lambda t: t["Parameters"]["MonthlyBudget"].update(MinValue=50),
        },
        "only_what_has_the_tag_is_counted": {
            "the whole account": put("Budget/Properties/Budget/CostFilters", None),
            "any value": put("Budget/Properties/Budget/CostFilters", {"TagKeyValue": [{"Ref": "TagKey"}]}),
        },
        "a_budget_writes_what_was_spent_and_what_will_be": {
            "not what will be": lambda t: properties(t, "Budget")["NotificationsWithSubscribers"].pop(),
            "nothing": put("Budget/Properties/NotificationsWithSubscribers", None),
            "at a dollar": lambda t: notification(t)["Notification"].update(ThresholdType="ABSOLUTE_VALUE"),
            "while there is some left": lambda t: notification(t)["Notification"].update(ComparisonOperator="LESS_THAN"),
            "to nobody": lambda t: notification(t)["Subscribers"].clear(),
            "to somebody else": lambda t: notification(t)["Subscribers"][0].update(Address="me@example.com"),
        },
        "numbers_are_within_limits": {
            "any amount": lambda t: t["Parameters"]["MonthlyBudget"].pop("MaxValue"),
            "too late": lambda t: notification(t)["Notification"].update(Threshold=1000),
        },
        "numbers_are_given": {"no amount": put("Budget/Properties/Budget/BudgetLimit", None)},
    },
    "infra/database.yaml": {
        "the_engine_exists": {
            "no such version": lambda t: t["Parameters"]["EngineVersion"].update(Default="17.99"),
            "another version": lambda t: t["Parameters"]["EngineVersion"].update(Default="99.1"),
            "any version": lambda t: t["Parameters"]["EngineVersion"].update(AllowedPattern=".*"),
            "parameters of another version": put("Parameters/Properties/Family", "postgres99"),
            "parameters of another engine": put("ClusterParameters/Properties/Family", "postgres17"),
            "another engine": put("Instance/Properties/Engine", "mysql"),
            "an engine beside its cluster's": put("ClusterInstance/Properties/Engine", "postgres"),
            "a version of its own": put("Cluster/Properties/EngineVersion", "17.1"),
        },
        "sizes_are_modest": {
            "large": put("Instance/Properties/DBInstanceClass", "db.r7g.16xlarge"),
            "one of a parameter's": lambda t: t["Parameters"]["InstanceClass"]["AllowedValues"].append(
                "db.r7g.16xlarge"
            ),
            "any": lambda t: t["Parameters"]["InstanceClass"].pop("AllowedValues"),
            "dear disks": put("Instance/Properties/StorageType", "io2"),
            "a standby": put("Instance/Properties/MultiAZ", True),
            "a standby by default": lambda t: t["Parameters"]["MultiAz"].update(Default="true"),
        },
        "roles_are_taken_by_their_users": {
            "another service": lambda t: trust(t, "MonitoringRole").update(Principal={"Service": "lambda.amazonaws.com"})
        },
        "the_machine_is_watched_where_it_is_asked_for": {
            "all the time": lambda t: t["Parameters"]["MonitoringSeconds"].update(Default="15"),
            "every second": lambda t: t["Parameters"]["MonitoringSeconds"]["AllowedValues"].append("1"),
            "always": put("Instance/Properties/MonitoringInterval", 60),
            "administrator": put(
                "MonitoringRole/Properties/ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]
            ),
        },
        "the_disk_grows_as_far_as_it_is_let": {
            "not at all": lambda t: t["Parameters"]["MaxStorageGb"].update(Default=20)
        },
        "data_is_encrypted_and_kept": {
            "plain": put("Instance/Properties/StorageEncrypted", False),
            "plain by default": put("Cluster/Properties/StorageEncrypted", None),
            "its own backups": put("Instance/Properties/BackupRetentionPeriod", 1),
            "deletable": put("Cluster/Properties/DeletionProtection", False),
            "deletable by default": lambda t: t["Parameters"]["DeletionProtection"].update(Default="false"),
        },
        "only_by_tls_and_never_in_public": {
            "public": put("Instance/Properties/PubliclyAccessible", True),
            "public by default": put("ClusterInstance/Properties/PubliclyAccessible", None),
            "plain text": put("Parameters/Properties/Parameters", {"rds.force_ssl": "0"}),
            "RDS's own parameters": put("Cluster/Properties/DBClusterParameterGroupName", None),
            "another security group": put("Instance/Properties/VPCSecurityGroups", ["sg-1"]),
        },
        "a_proxy_stands_between_functions_and_database": {
            "plain text": put("Proxy/Properties/RequireTLS", False),
            "plain text by default": put("Proxy/Properties/RequireTLS", None),
            "statements in the log": put("Proxy/Properties/DebugLogging", True),
            "always": lambda t: t["Resources"]["Proxy"].pop("Condition"),
            "always leading": lambda t: t["Resources"]["ProxyToInstance"].update(Condition="HasProxy"),
            "the owner's login": lambda t: properties(t, "Proxy")["Auth"][0].update(SecretArn={"Ref": "SecretAttachment"}),
            "one login": lambda t: properties(t, "Proxy")["Auth"].pop(),
            "an old kind of password": lambda t: properties(t, "Proxy")["Auth"][0].update(
                ClientPasswordAuthType="POSTGRES_MD5"
            ),
            "another group": put("Proxy/Properties/VpcSecurityGroupIds", [{"Ref": "SecurityGroup"}]),
            "another network": put("Proxy/Properties/VpcSubnetIds", ["subnet-0a", "subnet-0b"]),
            "another database": put("ProxyToCluster/Properties/DBClusterIdentifiers", ["other"]),
            "no database": lambda t: t["Resources"].pop("ProxyToInstance"),
            "no way to the database": lambda t: t["Resources"].pop("ProxyMayConnect"),
            "functions past it only": lambda t: properties(t, "ProxySecurityGroup")["SecurityGroupIngress"].pop(),
        },
        "a_proxy_reads_the_logins_of_the_functions": {
            "the owner's": lambda t: statement(t, "ProxyRole", "secretsmanager:GetSecretValue")["Resource"].append(
                {"Ref": "Secret"}
            ),
            "any": widen("ProxyRole", "secretsmanager:GetSecretValue"),
            "any key": widen("ProxyRole", "kms:Decrypt"),
            "a key for anything": lambda t: statement(t, "ProxyRole", "kms:Decrypt").pop("Condition"),
            "a key that nobody gave": unconditional("ProxyRole", "kms:Decrypt"),
        },
        "passwords_change_where_it_is_asked_for": {
            "always": lambda t: t["Resources"]["WriterRotation"].pop("Condition"),
            "at once": put("ReaderRotation/Properties/RotateImmediatelyOnUpdate", None),
            "the owner's": put("WriterRotation/Properties/SecretId", {"Ref": "SecretAttachment"}),
            "never": lambda t: t["Resources"].pop("ReaderRotation"),
            "by another": put("ReaderRotation/Properties/RotationLambdaARN", "arn"),
            "every day": lambda t: properties(t, "WriterRotation")["RotationRules"].update(AutomaticallyAfterDays=1),
        },
        "the_passwords_are_made_by_aws": {
            "another owner": put("WriterSecret/Properties/GenerateSecretString/SecretStringTemplate", '{"username":"w"}'),
            "one login for two": put(
                "ReaderSecret/Properties/GenerateSecretString/SecretStringTemplate",
                {"Fn::Sub": '{"username":"mergeline_writer","masterarn":"${Secret}"}'},
            ),
            "another user": put("Instance/Properties/MasterUsername", "postgres"),
            "without its place": lambda t: t["Resources"].pop("ReaderSecretAttachment"),
            "given": put("Secret/Properties/SecretString", "x"),
            "written down": put("Instance/Properties/MasterUserPassword", "hunter2"),
            "only letters": lambda t: properties(t, "Secret")["GenerateSecretString"].update(ExcludeNumbers=True),
            "nowhere": put("SecretAttachment/Properties/TargetId", {"Ref": "Instance"}),
            "in a text": lambda t: t["Metadata"].update(Url="postgres://me:hunter2@db/m"),
        },
        "nobody_comes_in_from_outside": {
            "the world": lambda t: properties(t, "SecurityGroup")["SecurityGroupIngress"][0].update(CidrIp="0.0.0.0/0"),
            "any port": lambda t: properties(t, "SecurityGroup")["SecurityGroupIngress"][0].update(FromPort=0),
        },
        "connections_go_where_they_should": {
            "anywhere by default": put("SecurityGroup/Properties/SecurityGroupEgress", None),
            "anywhere": lambda t: properties(t, "SecurityGroup")["SecurityGroupEgress"][0].update(CidrIp="0.0.0.0/0"),
            "another group": lambda t: properties(t, "ProxySecurityGroup")["SecurityGroupEgress"][0].update(
                DestinationSecurityGroupId="sg-1"
            ),
            "any port of a group": lambda t: properties(t, "ProxySecurityGroup")["SecurityGroupEgress"][0].update(
                ToPort=65535
            ),
        },
        "numbers_are_within_limits": {
            "no backups": lambda t: t["Parameters"]["BackupDays"].update(MinValue=0),
            "a large disk": lambda t: t["Parameters"]["MaxStorageGb"].update(MaxValue=65_536),
            "paid by speed": put("Instance/Properties/Iops", 64_000),
        },
        "numbers_are_given": {
            "backups": put("Cluster/Properties/BackupRetentionPeriod", None),
            "capacity": put("Cluster/Properties/ServerlessV2ScalingConfiguration", None),
            "TLS": put("Parameters/Properties/Parameters", {}),
        },
        "what_costs_by_the_hour_is_asked_for": {
            "both kinds": lambda t: t["Resources"]["Cluster"].pop("Condition"),
            "a proxy": lambda t: t["Resources"]["Proxy"].pop("Condition"),
        },
        "what_holds_data_is_kept": {
            "deleted": put("Instance/DeletionPolicy", "Delete"),
            "replaced": put("Cluster/UpdateReplacePolicy", None),
            "the password": put("Secret/DeletionPolicy", "Delete"),
        },
    },
    "infra/network.yaml": {
        "functions_are_called_by_nobody": {
            "by a group": put(
                "FunctionsSecurityGroup/Properties/SecurityGroupIngress",
                [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "SourceSecurityGroupId": {"Ref": "Vpc"}}],
            ),
            "no way to the database": lambda t: properties(t, "FunctionsSecurityGroup")["SecurityGroupEgress"].pop(),
            "an endpoint for others": lambda t: properties(t, "SecretsSecurityGroup")["SecurityGroupIngress"][0].update(
                SourceSecurityGroupId={"Ref": "SecretsSecurityGroup"}
            ),
        },
        "subnets_are_private": {
            "public addresses": put("PrivateSubnetA/Properties/MapPublicIpOnLaunch", True),
            "a way in": put("PrivateSubnetRoutesA/Properties/RouteTableId", {"Ref": "PublicRoutes"}),
            "no way out": lambda t: t["Resources"].pop("PrivateSubnetRoutesB"),
            "NAT without a way out": put("NatA/Properties/SubnetId", {"Ref": "PrivateSubnetA"}),
            "functions in public": lambda t: t["Outputs"]["SubnetIds"].update(
                Value={"Fn::Join": [",", [{"Ref": "PublicSubnetA"}, {"Ref": "PrivateSubnetB"}]]}
            ),
            "an endpoint in public": put("SecretsManagerEndpoint/Properties/SubnetIds", [{"Ref": "PublicSubnetA"}]),
            "the same addresses": put(
                "PrivateSubnetA/Properties/CidrBlock", {"Fn::Select": [0, {"Fn::Cidr": [{"Ref": "Cidr"}, 4, 8]}]}
            ),
            "another route": put("OutOfA/Properties/GatewayId", {"Ref": "InternetGateway"}),
        },
        "a_zone_has_its_own_way_out": {"paid for": put("OutOfB/Properties/NatGatewayId", {"Ref": "NatA"})},
        "roles_are_taken_by_their_users": {
            "another service": lambda t: trust(t, "FlowLogRole").update(Principal={"Service": "lambda.amazonaws.com"})
        },
        "flow_logs_are_written_by_their_role": {
            "any log": widen("FlowLogRole", "logs:PutLogEvents"),
            "what was refused": put("FlowLog/Properties/TrafficType", "REJECT"),
            "a subnet": put("FlowLog/Properties/ResourceId", {"Ref": "PublicSubnetA"}),
        },
        "private_ways_lead_to_the_functions": {
            "by NAT": put("S3Endpoint/Properties/RouteTableIds", [{"Ref": "PrivateRoutesA"}]),
            "unused": put("SecretsManagerEndpoint/Properties/PrivateDnsEnabled", False),
        },
        "what_costs_names_its_price": {
            "no price": lambda t: t["Parameters"]["NatGateways"].update(Description="one or two"),
            "two by default": lambda t: t["Parameters"]["NatGateways"].update(Default="2"),
        },
        "nobody_comes_in_from_outside": {
            "the world": lambda t: properties(t, "SecretsSecurityGroup")["SecurityGroupIngress"][0].update(
                CidrIp="0.0.0.0/0"
            ),
            "without a group": lambda t: properties(t, "SecretsSecurityGroup")["SecurityGroupIngress"][0].pop(
                "SourceSecurityGroupId"
            ),
        },
        "connections_go_where_they_should": {
            "anywhere by default": put("SecretsSecurityGroup/Properties/SecurityGroupEgress", None),
            "everything": lambda t: properties(t, "FunctionsSecurityGroup")["SecurityGroupEgress"][0].update(
                IpProtocol="-1"
            ),
            "any database": lambda t: properties(t, "FunctionsSecurityGroup")["SecurityGroupEgress"][1].update(
                CidrIp="0.0.0.0/0"
            ),
        },
        "numbers_are_within_limits": {
            "many": lambda t: t["Parameters"]["NatGateways"].update(AllowedValues=["1", "200"]),
        },
        "what_costs_by_the_hour_is_asked_for": {
            "a second NAT": lambda t: t["Resources"]["NatB"].pop("Condition"),
            "a second address": lambda t: t["Resources"]["AddressB"].pop("Condition"),
            "an endpoint": lambda t: t["Resources"]["SecretsManagerEndpoint"].pop("Condition"),
            "one more": more("EC2::NatGateway"),
        },
    },
    "infra/github-oidc.yaml": {
        "cloudformation_may_make_the_stack": {
            "passing any role": widen("ExecutionRole", "iam:PassRole", {"Fn::Sub": ANY_ROLE}),
            "passing any role, joined": widen(
                "ExecutionRole",
                "iam:PassRole",
                {"Fn::Join": ["", ["arn:aws:iam::", {"Ref": "AWS::AccountId"}, ":role/*"]]},
            ),
            "passing to any service": lambda t: statement(t, "ExecutionRole", "iam:PassRole").pop("Condition"),
            "passing to one more": lambda t: statement(t, "ExecutionRole", "iam:PassRole")["Condition"]["StringEquals"][
                "iam:PassedToService"
            ].append("ec2.amazonaws.com"),
            "roles beyond the boundary": lambda t: statement(t, "ExecutionRole", "iam:CreateRole").pop("Condition"),
            "everything of IAM": lambda t: statement(t, "ExecutionRole", "iam:GetRole").update(Action="iam:*"),
            "no boundary any more": allow("ExecutionRole", "iam:DeleteRolePermissionsBoundary", {"Fn::Sub": ANY_ROLE}),
            "reading secrets": lambda t: statement(t, "ExecutionRole", "secretsmanager:CreateSecret")["Action"].append(
                "secretsmanager:GetSecretValue"
            ),
            "secrets of others": widen("ExecutionRole", "secretsmanager:CreateSecret"),
            "queues of others": widen("ExecutionRole", "sqs:*"),
            "functions of others": lambda t: statement(t, "ExecutionRole", "lambda:CreateEventSourceMapping").pop(
                "Condition"
            ),
            "records of others": lambda t: statement(t, "ExecutionRole", "route53:ChangeResourceRecordSets").pop(
                "Condition"
            ),
            "a right of a service that is not used": allow("ExecutionRole", "ec2:RunInstances", "*"),
            "a right that is not needed": lambda t: statement(t, "ExecutionRole", "sns:Unsubscribe")["Action"].append(
                "lambda:ListFunctions"
            ),
            "a policy that cannot be read back": forget("ExecutionRole", "iam:GetPolicyVersion"),
            "a topic's end": forget("ExecutionRole", "sns:Unsubscribe"),
            "APIs of others": lambda t: statement(t, "ExecutionRole", "apigateway:DELETE").pop("Condition"),
            "any firewall": widen("ExecutionRole", "wafv2:AssociateWebACL"),
            "any key": widen("ExecutionRole", "kms:Decrypt"),
            "grants for anybody": lambda t: statement(t, "ExecutionRole", "kms:CreateGrant").pop("Condition"),
            "rollouts of others": widen("ExecutionRole", "codedeploy:*"),
            "no composed alarms": forget("ExecutionRole", "cloudwatch:PutCompositeAlarm"),
            "no transform": forget("ExecutionRole", "cloudformation:CreateChangeSet"),
            "no domain": lambda t: properties(t, "ExecutionRole")["Policies"][0]["PolicyDocument"]["Statement"].remove(
                next(
                    it
                    for it in properties(t, "ExecutionRole")["Policies"][0]["PolicyDocument"]["Statement"]
                    if it.get("Fn::If", [None])[0] == "HasDomain"
                )
            ),
        },
        "github_hands_over_and_does_not_make": {
            "keys of any API": lambda t: statement(t, "DeployRole", "apigateway:GET").pop("Condition"),
            "another stack": widen("DeployRole", "cloudformation:ExecuteChangeSet"),
            "creating without a change set": lambda t: statement(t, "DeployRole", "cloudformation:GetTemplate")[
                "Action"
            ].append("cloudformation:CreateStack"),
            "passing any role": widen("DeployRole", "iam:PassRole", {"Fn::Sub": ANY_ROLE}),
            "passing to any service": lambda t: statement(t, "DeployRole", "iam:PassRole").pop("Condition"),
            "invoking anything": widen("DeployRole", "lambda:InvokeFunction"),
            "a secret": allow("DeployRole", "secretsmanager:GetSecretValue", "*"),
            "no upload": forget("DeployRole", "s3:PutObject"),
        },
        "only_one_environment_deploys": {
            "any environment": lambda t: trust(t).update(
                Condition={"StringLike": {"token.actions.githubusercontent.com:sub": "repo:acme/*"}}
            ),
            "anything of GitHub": lambda t: trust(t).pop("Condition"),
            "for anybody": lambda t: trust(t)["Condition"]["StringEquals"].pop(
                "token.actions.githubusercontent.com:aud"
            ),
            "a star": lambda t: t["Parameters"]["Repository"].update(AllowedPattern=".*"),
            "another issuer": put("GitHub/Properties/Url", "https://example.com"),
            "another audience": lambda t: properties(t, "GitHub")["ClientIdList"].append("x"),
            "CloudFormation of others": lambda t: trust(t, "ExecutionRole").pop("Condition"),
            "a service more": lambda t: trust(t, "ExecutionRole").update(Principal={"Service": "lambda.amazonaws.com"}),
        },
        "the_boundary_is_as_wide_as_the_stack": {
            "too narrow": forget("Boundary", "logs:PutLogEvents"),
            "too wide": widen("Boundary", "sqs:*"),
            "one service more": lambda t: properties(t, "Boundary")["PolicyDocument"]["Statement"].append(
                {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
            ),
            "secrets of others": widen("Boundary", "secretsmanager:GetSecretValue"),
            "anybody's metrics": lambda t: statement(t, "Boundary", "cloudwatch:PutMetricData").pop("Condition"),
            "everything": lambda t: properties(t, "Boundary")["PolicyDocument"]["Statement"].append(
                {"Effect": "Allow", "Action": "*", "Resource": "*"}
            ),
        },
        "rights_come_with_what_they_are_for": {
            "domains": unconditional("ExecutionRole", "apimappings"),
            "zones": unconditional("ExecutionRole", "route53:GetChange"),
            "secrets": unconditional("Boundary", "secretsmanager:GetSecretValue"),
            "a key": unconditional("Boundary", "kms:Decrypt"),
            "a firewall": unconditional("ExecutionRole", "wafv2:AssociateWebACL"),
            "the role for all logs": unconditional("ExecutionRole", "::/account"),
        },
        "roles_have_only_their_own_rights": {
            "administrator": put(
                "DeployRole/Properties/ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]
            )
        },
        "uploads_are_private_and_encrypted": {
            "public": put("Artifacts/Properties/PublicAccessBlockConfiguration", None),
            "public by a policy": put("Artifacts/Properties/PublicAccessBlockConfiguration/BlockPublicPolicy", False),
            "plain": put("Artifacts/Properties/BucketEncryption", None),
            "of others": put("Artifacts/Properties/OwnershipControls", None),
            "gone at once": put("Artifacts/Properties/VersioningConfiguration", None),
            "by plain HTTP": lambda t: t["Resources"].pop("ArtifactsPolicy"),
        },
        "what_is_denied_stays_denied": {
            "plain HTTP": lambda t: properties(t, "ArtifactsPolicy")["PolicyDocument"]["Statement"].pop(),
            "its own role": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"].pop(0),
            "a function's own address": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"].pop(1),
            "callers beside the gateway": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"].pop(2),
            "another stack's API": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"].pop(3),
            "all but one": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"][0]["Resource"].pop(),
            "one action": lambda t: properties(t, "KeepOut")["PolicyDocument"]["Statement"][0].update(
                Action="iam:CreateRole"
            ),
            "another role": put("KeepOut/Properties/RoleName", {"Ref": "DeployRole"}),
            "gone": lambda t: t["Resources"].pop("KeepOut"),
        },
        "nobody_else_is_trusted": {
            "everybody": lambda t: trust(t).update(Principal="*"),
            "everybody's uploads": add("S3::BucketPolicy", Bucket={"Ref": "Artifacts"}, PolicyDocument=anyone("*")),
            "everybody who logs in": lambda t: trust(t).update(Principal={"Federated": "*"}),
            "another account's provider": lambda t: trust(t).update(
                Principal={"Federated": "arn:aws:iam::123456789012:oidc-provider/example.com"}
            ),
        },
        "numbers_are_within_limits": {"half a day": put("DeployRole/Properties/MaxSessionDuration", 43_200)},
        "numbers_are_given": {"uploads forever": put("Artifacts/Properties/LifecycleConfiguration", None)},
        "what_holds_data_is_kept": {
            "uploads": put("Artifacts/DeletionPolicy", "Delete"),
            "left in the way": put("GitHub/DeletionPolicy", "Retain"),
        },
    },
}


@pytest.mark.parametrize(
    ("path", "name", "change"),
    [
        pytest.param(path, name, change, id=f"{path}: {name}: {what}")
        for path, policies_of_template in BREAKS.items()
        for name, changes in policies_of_template.items()
        for what, change in changes.items()
    ],
)
def test_the_policy_notices(path, name, change, templates):
    broken = copy.deepcopy(templates[path])
    change(broken)
    (policy,) = [policy for policy in policies.JUDGED[path] if policy.__name__ == name]
    found = policies.judge(policy, broken)
    assert found and not [it for it in found if it.startswith(policies.CANNOT_JUDGE)], found


@pytest.mark.parametrize("path", BREAKS)
def test_every_policy_was_seen_to_notice_something(path):
    # What holds everywhere is also tried on template.yaml.
    own = {policy.__name__ for policy in policies.JUDGED[path] if policy not in policies.EVERYWHERE}
    assert own <= set(BREAKS[path])


# --- from one template to the next


def test_the_outputs_of_one_template_are_the_parameters_of_the_next(templates, written):
    network, database = templates["infra/network.yaml"], templates["infra/database.yaml"]
    assert {"SubnetIds", "SecurityGroupIds"} <= set(network["Outputs"]) & set(written["Parameters"])
    assert {"VpcId", "SubnetIds"} <= set(network["Outputs"]) & set(database["Parameters"])
    of_database = {"SecretArn", "WriterSecretArn", "ReaderSecretArn", "InstanceId", "ResourceId", "ProxyHost"}
    assert {f"Database{it}" for it in of_database} <= set(database["Outputs"]) & set(written["Parameters"])


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


# --- keys, logs, and what deploys


@pytest.fixture
def database(templates):
    return templates["infra/database.yaml"]


@pytest.fixture
def network(templates):
    return templates["infra/network.yaml"]


@pytest.fixture
def github(templates):
    return templates["infra/github-oidc.yaml"]


@pytest.mark.parametrize("kind", ["RDS::DBInstance", "RDS::DBCluster"])
def test_a_given_key_is_that_of_disk_and_secret(kind, database):
    key = {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    for name, facts in nodes.properties(database, kind).items():
        assert facts.get("KmsKeyId") == key or "DBClusterIdentifier" in facts, name
    for name, secret in nodes.properties(database, "SecretsManager::Secret").items():
        assert secret["KmsKeyId"] == key, name


def test_the_log_and_the_machine_are_watched_where_it_is_asked_for(database, network):
    exports = {"Fn::If": ["ExportsLog", ["postgresql"], {"Ref": "AWS::NoValue"}]}
    for kind in ("RDS::DBInstance", "RDS::DBCluster"):
        for name, facts in nodes.properties(database, kind).items():
            assert "DBClusterIdentifier" in facts or facts["EnableCloudwatchLogsExports"] == exports, name
            assert kind == "RDS::DBCluster" or facts["MonitoringInterval"] == {"Ref": "MonitoringSeconds"}
    for template, names in ((database, ["MonitoringRole"]), (network, ["FlowLogGroup", "FlowLogRole", "FlowLog"])):
        for name in names:
            assert template["Resources"][name]["Condition"] in ("IsMonitored", "HasFlowLogs")
    flow = network["Resources"]["FlowLog"]["Properties"]
    assert (target(flow["ResourceId"]), flow["TrafficType"]) == ("Vpc", "ALL")
    assert target(flow["LogGroupName"]) == "FlowLogGroup"
    writing, looking = [it for name, it in nodes.statements(network) if name == "FlowLogRole"]
    assert target(writing["Resource"]) == "FlowLogGroup"
    assert (looking["Action"], looking["Resource"]) == ("logs:DescribeLogGroups", "*")


def test_the_documented_key_lets_logs_and_alarms_use_it():
    account, *services = json.loads((ROOT / "infra/key-policy.json").read_text())["Statement"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::ACCOUNT:root"}
    found = {service: it for it in services for service in nodes.listed(it["Principal"]["Service"])}
    assert set(found) == {"logs.REGION.amazonaws.com", "cloudwatch.amazonaws.com"}
    for it in found.values():
        assert {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(it["Action"])
        # For this account only.
        assert "ACCOUNT" in str(it["Condition"])


def test_there_is_no_way_to_the_functions_beside_the_gateway(github, template):
    ((_, keep_out),) = nodes.properties(github, "IAM::RolePolicy").items()
    denied = {it["Action"]: it for it in keep_out["PolicyDocument"]["Statement"]}
    assert all(it["Effect"] == "Deny" for it in denied.values())
    for action in ("CreateFunctionUrlConfig", "UpdateFunctionUrlConfig", "InvokeFunctionUrl"):
        assert fnmatchcase(f"lambda:{action}", "lambda:*FunctionUrl*")
    assert denied["lambda:*FunctionUrl*"]["Resource"] == "*"
    assert "Condition" not in denied["lambda:*FunctionUrl*"]
    invokers = denied["lambda:AddPermission"]["Condition"]
    assert invokers == {"StringNotEquals": {"lambda:Principal": "apigateway.amazonaws.com"}}
    # And the stack makes none.
    permissions = nodes.properties(template, "Lambda::Permission").values()
    assert {it["Principal"] for it in permissions} == {"apigateway.amazonaws.com"}
    assert nodes.properties(template, "Lambda::Url") == {}


def of_api_gateway(github, role):
    """The statements about API Gateway without those about a domain, with what they ask of tags."""
    for name, it in nodes.statements(github):
        ours = [resource for resource in nodes.listed(it["Resource"]) if "::/" in str(resource)]
        resources = [resource["Fn::Sub"].split("::/")[1] for resource in ours]
        if name == role and resources and not any("domainnames" in resource for resource in resources):
            yield set(resources), set(nodes.listed(it["Action"])), it.get("Condition", {}).get("StringEquals", {})


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
        for name, facts in nodes.properties(template, f"ApiGateway::{kind}").items():
            assert {"Key": "mergeline-stack", "Value": {"Ref": "AWS::StackName"}} in facts["Tags"], name
    ((_, keep_out),) = nodes.properties(github, "IAM::RolePolicy").items()
    (others,) = [it for it in keep_out["PolicyDocument"]["Statement"] if it["Action"] == "apigateway:*"]
    assert others["Condition"] == {
        "StringNotEquals": {"aws:ResourceTag/mergeline-stack": {"Ref": "StackName"}},
        "Null": {"aws:ResourceTag/mergeline-stack": "false"},
    }


def test_the_role_for_the_logs_of_all_apis_is_set_only_where_it_is_asked_for(github, written):
    for template in (github, written):
        assert template["Parameters"]["AccessLogs"]["Default"] == "none"
        assert template["Conditions"]["SetsLogsRole"] == {"Fn::Equals": [{"Ref": "AccessLogs"}, "with-role"]}
    (policy,) = nodes.properties(github, "IAM::Role")["ExecutionRole"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        assert "::/account" not in str(statement) or statement["Fn::If"][0] == "SetsLogsRole"
    for name in ("ApiGatewayLogsRole", "ApiGatewayAccount"):
        assert written["Resources"][name]["Condition"] == "SetsLogsRole"


def test_secrets_of_others_are_out_of_reach(github, template):
    def may_read(statement):
        return "secretsmanager:GetSecretValue" in nodes.listed(statement["Action"])

    readable = [it["Resource"] for name, it in nodes.statements(github) if name == "Boundary" and may_read(it)]
    own, given = readable
    assert given == {"Fn::Split": [",", {"Ref": "SecretArns"}]}
    reach = own["Fn::Sub"].rsplit(":", 1)[1]
    assert reach == "${StackName}/*"
    for secret in nodes.properties(template, "SecretsManager::Secret").values():
        name = secret["Name"]["Fn::Sub"]
        stacks = ("mergeline", "mergeline-prod")
        arn_ends = {stack: name.replace("${AWS::StackName}", stack) + "-AbCdEf" for stack in stacks}
        for stack in arn_ends:
            within = {it for it, end in arn_ends.items() if fnmatchcase(end, reach.replace("${StackName}", stack))}
            assert within == {stack}
    (made,) = [
        it["Resource"]
        for name, it in nodes.statements(github)
        if name == "ExecutionRole" and "secretsmanager:CreateSecret" in nodes.listed(it["Action"])
    ]
    assert made == own


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


def test_a_rollout_may_be_made_by_what_deploys(github):
    actions = {
        (action, str(resource))
        for name, it in nodes.statements(github)
        if name == "ExecutionRole"
        for action in nodes.listed(it["Action"])
        for resource in nodes.listed(it["Resource"])
    }
    for kind in ("application", "deploymentgroup"):
        assert any(action == "codedeploy:*" and f":{kind}:${{StackName}}-*" in place for action, place in actions)
    assert any(action == "codedeploy:GetDeploymentConfig" for action, _ in actions)
    passing = statement(github, "ExecutionRole", "iam:PassRole")["Condition"]
    assert "codedeploy.amazonaws.com" in passing["StringEquals"]["iam:PassedToService"]


def test_the_bill_counts_what_is_watched(template):
    def metrics(*conditions):
        alarms = nodes.of_type(template, "CloudWatch::Alarm").values()
        return sum(len(policies.queries(it["Properties"])) for it in alarms if it.get("Condition") in conditions)

    costs = (ROOT / "docs/costs.md").read_text()
    composed = nodes.of_type(template, "CloudWatch::CompositeAlarm")
    usual, of_database = metrics(None, "HasAlarms"), metrics("AlarmsOfDatabase")
    # Webhooks and access logs have rows of their own.
    assert (of_database, len(composed)) == (3, 1)
    counted = f"| {usual + of_database}, three of them with `DatabaseInstanceId`, and one composed; {metrics(None)} with"
    assert counted in costs
    assert f"{0.1 * (usual + of_database) + 0.5:.2f} |" in costs
