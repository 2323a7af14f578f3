"""Who may do what: whom the templates trust, and whether each role may do what its work needs and nothing else."""

import importlib.util
import json
import re
from functools import cache
from pathlib import Path

from nodes import branches, listed, of_type, properties, statements, target, texts, walk, written
from translate import translated

STACK_METRICS = {"StringEquals": {"cloudwatch:namespace": {"Fn::Sub": "Mergeline/${AWS::StackName}"}}}

# Which property names a role, and the service that takes it then.
ROLE_USERS = {
    "ApiGateway::Account": ("CloudWatchRoleArn", "apigateway.amazonaws.com"),
    "Lambda::Function": ("Role", "lambda.amazonaws.com"),
    "Scheduler::Schedule": ("RoleArn", "scheduler.amazonaws.com"),
    "CodeDeploy::DeploymentGroup": ("ServiceRoleArn", "codedeploy.amazonaws.com"),
    "EC2::FlowLog": ("DeliverLogsPermissionArn", "vpc-flow-logs.amazonaws.com"),
    "RDS::DBProxy": ("RoleArn", "rds.amazonaws.com"),
    "RDS::DBInstance": ("MonitoringRoleArn", "monitoring.rds.amazonaws.com"),
}
# The first makes the stack, and alarms publish to its topics.
OTHER_SERVICES = {"cloudformation.amazonaws.com", "cloudwatch.amazonaws.com"}


# --- who is trusted


def trusted(principal):
    """The kind and value of each principal of a statement."""
    if isinstance(principal, str):
        return [("Service" if principal.endswith(".amazonaws.com") else "AWS", principal)]
    if not set(principal) <= {"AWS", "CanonicalUser", "Federated", "Service"}:
        return [("AWS", principal)]
    return [(kind, value) for kind, values in principal.items() for value in listed(values)]


def is_our_own(template, kind, principal):
    """Whether a principal is a service of AWS, this account, or a resource of the template."""
    if kind == "Service":
        return principal in {service for _, service in ROLE_USERS.values()} | OTHER_SERVICES
    if kind == "AWS":
        account = [{"Ref": "AWS::AccountId"}, {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}]
        return principal in account or target(principal) in of_type(template, "IAM::Role")
    provider = "arn:${AWS::Partition}:iam::${AWS::AccountId}:oidc-provider/token.actions.githubusercontent.com"
    is_provider = principal == {"Fn::Sub": provider} or target(principal) in of_type(template, "IAM::OIDCProvider")
    return kind == "Federated" and is_provider


def nobody_else_is_trusted(template):
    """No star and no other account: in trust and resource policies, whether or not conditions narrow them."""
    for name, resource in template["Resources"].items():
        for statement in walk(resource.get("Properties", {})):
            if "NotPrincipal" in statement:
                yield f"{name} trusts all but some"
            # Whom an API lets ask has a policy of its own: without a condition, everybody asks it.
            if statement.get("Action") == "execute-api:Invoke" and resource["Type"] == "AWS::ApiGateway::RestApi":
                continue
            if "Principal" in statement and statement.get("Effect", "Allow") != "Deny":
                for kind, principal in trusted(statement["Principal"]):
                    if not is_our_own(template, kind, principal):
                        yield f"{name} trusts {written(principal)}"
    for name, permission in properties(template, "Lambda::Permission").items():
        if "SourceArn" not in permission:
            yield f"{name}: the service may invoke for anyone"
        if "FunctionUrlAuthType" in permission:
            yield f"{name}: a function has an address of its own"
    for name in of_type(template, "Lambda::Url"):
        yield f"{name}: a function has an address of its own"


def no_account_is_named(template):
    """An account's number in a template is another account's, once somebody else deploys it."""
    for found in re.finditer(r"(?<![0-9A-Za-z])\d{12}(?![0-9])", json.dumps(template)):
        yield f"names the account {found[0]}"


def roles_are_taken_by_their_users(template):
    """Each role is taken by the service that uses it, and by no other."""
    users = {}
    for kind, (key, service) in ROLE_USERS.items():
        for facts in properties(template, kind).values():
            for node in walk(facts):
                if key in node:
                    users.setdefault(target(node[key]), set()).add(service)
    for name, role in properties(template, "IAM::Role").items():
        expected = users.get(name, set())
        trust = listed(role["AssumeRolePolicyDocument"]["Statement"])
        taken = {written(who) for statement in trust for _, who in trusted(statement["Principal"])}
        if taken != expected or {action for it in trust for action in listed(it["Action"])} != {"sts:AssumeRole"}:
            yield f"{name} is taken by {sorted(taken)}, and used by {sorted(expected)}"


# --- what each right is for


def resource_name(template, resource):
    """A resource of the template by its name; everything else as it is written, without `arn:` and the partition."""
    for kind in (dict(Ref=target(resource)), {"Fn::GetAtt": [target(resource), "Arn"]}):
        if resource == kind:
            return target(resource)
    if isinstance(resource, dict) and set(resource) == {"Fn::Sub"} and isinstance(resource["Fn::Sub"], str):
        return resource["Fn::Sub"].removeprefix("arn:${AWS::Partition}:")
    return written(resource)


def rights(template):
    """Every right that a statement gives: role or policy, action, resource, and the condition as text."""
    for name, statement in statements(template):
        if statement["Effect"] == "Deny":
            continue
        condition = written(statement.get("Condition", {}))
        others = {key for key in statement if key.startswith("Not")}
        actions = listed(statement.get("Action", [])) + [f"{key} {written(statement[key])}" for key in others]
        for action in actions:
            for resource in listed(statement.get("Resource", [])) or ["nothing"]:
                yield name, action, resource_name(template, resource), condition


def differences(allowed, needed):
    """What is allowed without need, and needed without being allowed."""
    for name, action, resource, condition in sorted(allowed - needed):
        yield f"{name} may {action} on {resource} without need{condition.removeprefix('{}') and f' if {condition}'}"
    for name, action, resource, condition in sorted(needed - allowed):
        yield f"{name} may not {action} on {resource}{condition.removeprefix('{}') and f' if {condition}'}"


# What Lambda does with a function's network interfaces, none of which it knows beforehand.
INTERFACES = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
}
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
# What decrypts a secret, a message or the settings, and encrypts a message.
KEY = {"kms:Decrypt", "kms:GenerateDataKey"}
# What CodeDeploy does to move an alias.
MOVES = {"lambda:GetAlias", "lambda:GetProvisionedConcurrencyConfig", "lambda:UpdateAlias"}
# Three are Lambda's. The program hides a message until it is worth another try.
RECEIVES = {
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}


# The parameters with the names of logins, by those with their secrets.
LOGINS = {"DatabaseWriterSecretArn": "DatabaseWriterName", "DatabaseReaderSecretArn": "DatabaseReaderName"}


def rights_of_variables(function):
    """What a program does with the resources that its variables name: actions, resource, condition."""
    for variable, value in function["Environment"]["Variables"].items():
        for named in map(target, branches(value)):
            if variable.endswith("_SECRET_ARN"):
                yield {"secretsmanager:GetSecretValue"}, named, {}
            if variable.endswith("_QUEUE_URL"):
                yield {"sqs:SendMessage"}, named, {}
    variables = function["Environment"]["Variables"]
    # One that is let in by IAM, with the login of its secret. The function that migrates only passes the setting on.
    if "iam" in branches(variables.get("DB_LOGIN", "")):
        for secret in map(target, branches(variables["DB_URL_SECRET_ARN"])):
            if login := LOGINS.get(secret):
                yield {"rds-db:connect"}, f"rds-db:{ACCOUNT}:dbuser:${{DatabaseResourceId}}/${{{login}}}", {}
    if "MAIL_FROM" in variables:
        yield {"ses:SendEmail"}, f"ses:{ACCOUNT}:identity/*", {"StringEquals": {"ses:FromAddress": {"Ref": "MailFrom"}}}
    if "METRICS_NAMESPACE" in function["Environment"]["Variables"]:
        yield {"cloudwatch:PutMetricData"}, "*", STACK_METRICS


def needed_by_the_stack(template):
    """What the roles of the stack need, from what its resources are."""
    functions = properties(template, "Lambda::Function")

    def needs(role, actions, resource, condition=()):
        return {(role, action, resource, written(dict(condition))) for action in actions}

    for name, function in functions.items():
        role = target(function["Role"])
        yield from needs(role, LOGS, target(function["LoggingConfig"]["LogGroup"]))
        if "Active" in texts(function.get("TracingConfig", {})):
            yield from needs(role, TRACES, "*")
        for actions, named, condition in rights_of_variables(function):
            yield from needs(role, actions, named, condition)
        if "KmsKeyArn" in function:
            yield from needs(role, KEY, "KmsKeyArn")
        if "VpcConfig" in function:
            yield from needs("NetworkPolicy", INTERFACES, "*")
    for mapping in properties(template, "Lambda::EventSourceMapping").values():
        role = target(functions[target(mapping["FunctionName"])]["Role"])
        yield from needs(role, RECEIVES, target(mapping["EventSourceArn"]))
    for config in properties(template, "Lambda::EventInvokeConfig").values():
        role = target(functions[target(config["FunctionName"])]["Role"])
        yield from needs(role, {"sqs:SendMessage"}, target(config["DestinationConfig"]["OnFailure"]["Destination"]))
    for schedule in properties(template, "Scheduler::Schedule").values():
        aim = schedule["Target"]
        yield from needs(target(aim["RoleArn"]), {"lambda:InvokeFunction"}, target(aim["Arn"]))
        queue = target(aim["DeadLetterConfig"]["Arn"])
        yield from needs(target(aim["RoleArn"]), {"sqs:SendMessage"}, queue)
        if "KmsMasterKeyId" in properties(template, "SQS::Queue")[queue]:
            yield from needs(target(aim["RoleArn"]), KEY, "KmsKeyArn")
    for group in properties(template, "CodeDeploy::DeploymentGroup").values():
        role = target(group["ServiceRoleArn"])
        yield from needs(role, MOVES, "Api")
        yield from needs(role, MOVES, "${Api.Arn}:*")
        yield from needs(role, {"cloudwatch:DescribeAlarms"}, "*")


def roles_may_do_what_they_need(template):
    yield from differences(set(rights(template)), set(needed_by_the_stack(template)))


# --- what is denied

def kept_out(condition, **place):
    """Who may not ask the API, even if something else allows it."""
    return {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", **place, "Condition": condition}


def networks(name):
    return {"Fn::Split": [",", {"Ref": name}]}


WEBHOOKS = "execute-api:/v1/POST/webhook/*"
ALLOWED = networks("AllowedCidrs")
FROM = {"NotIpAddress": {"Fn::If": ["IsPrivate", {"aws:VpcSourceIp": ALLOWED}, {"aws:SourceIp": ALLOWED}]}}

# By resource: what it protects, or whom it restrains, and the statements. No deployment fails without them.
DENIED = {
    "Gateway": (
        "Gateway",
        kept_out({"StringNotEquals": {"aws:SourceVpce": {"Ref": "VpcEndpointId"}}}, Resource="execute-api:/*"),
        kept_out(FROM, NotResource=WEBHOOKS),
        kept_out({"NotIpAddress": {"aws:SourceIp": networks("WebhookCidrs")}}, Resource=WEBHOOKS),
    ),
    # Lambda may use the rights to network interfaces, but the program in the function may not.
    "NetworkPolicy": (
        "Collector",
        {
            "Effect": "Deny",
            "Action": "ec2:*",
            "Resource": "*",
            "Condition": {"Null": {"lambda:SourceFunctionArn": "false"}},
        },
    ),
    # The names of what deploys may start like those of the stack's roles.
    "KeepOut": (
        "ExecutionRole",
        {
            "Effect": "Deny",
            "Action": "iam:*",
            "Resource": [
                {"Fn::GetAtt": ["ExecutionRole", "Arn"]},
                {"Fn::GetAtt": ["DeployRole", "Arn"]},
                {"Ref": "Boundary"},
            ],
        },
        # A way to a function beside the gateway.
        {"Effect": "Deny", "Action": "lambda:*FunctionUrl*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": "lambda:AddPermission",
            "Resource": "*",
            "Condition": {"StringNotEquals": {"lambda:Principal": "apigateway.amazonaws.com"}},
        },
        # What is another stack's.
        {
            "Effect": "Deny",
            "Action": "apigateway:*",
            "Resource": "*",
            "Condition": {
                "StringNotEquals": {"aws:ResourceTag/mergeline-stack": {"Ref": "StackName"}},
                "Null": {"aws:ResourceTag/mergeline-stack": "false"},
            },
        },
    ),
    # Uploads and downloads without TLS.
    "ArtifactsPolicy": (
        "Artifacts",
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [{"Fn::GetAtt": ["Artifacts", "Arn"]}, {"Fn::Sub": "${Artifacts.Arn}/*"}],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ),
}


def what_is_denied_stays_denied(template):
    denied = {
        name: [node for node in walk(resource.get("Properties", {})) if node.get("Effect") == "Deny"]
        for name, resource in template["Resources"].items()
    }
    expected = {name: its for name, (whom, *its) in DENIED.items() if whom in template["Resources"]}
    for name in sorted(set(expected) | set(denied)):
        if denied.get(name, []) != expected.get(name, []):
            yield f"{name} denies {written(denied.get(name, []))}"
        facts = template["Resources"].get(name, {}).get("Properties", {})
        attached = target(facts.get("RoleName", facts.get("Bucket", {})))
        if name in DENIED and attached not in (None, DENIED[name][0]):
            yield f"{name} is for {attached}"


# --- what deploys: infra/github-oidc.yaml

ACCOUNT = "${AWS::Region}:${AWS::AccountId}"
FUNCTIONS = f"lambda:{ACCOUNT}:function:${{StackName}}-*"
QUEUES = f"sqs:{ACCOUNT}:${{StackName}}-*"
TRANSFORM = "cloudformation:${AWS::Region}:aws:transform/Serverless-2016-10-31"
ROLES = "iam::${AWS::AccountId}:role/${StackName}-*"
# The slash ends the name of the stack.
SECRETS = {f"secretsmanager:{ACCOUNT}:secret:${{StackName}}/*"}
GATEWAY = "apigateway:${AWS::Region}::"
DOMAIN = f"{GATEWAY}/domainnames/${{DomainName}}"
STAGE = f"{GATEWAY}/restapis/*/stages/v1"
TAGGED = {"StringEquals": {"aws:ResourceTag/mergeline-stack": {"Ref": "StackName"}}}
WITH_TAG = {"StringEquals": {"aws:RequestTag/mergeline-stack": {"Ref": "StackName"}}}
ZONE = "route53:::hostedzone/${HostedZoneId}"

# What GitHub's role does, by resource. It hands the template over, and looks at what came of it.
DEPLOYS = {
    f"cloudformation:{ACCOUNT}:stack/${{StackName}}/*": {
        "cloudformation:CreateChangeSet",
        "cloudformation:DeleteChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStackEvents",
        "cloudformation:DescribeStackResource",
        "cloudformation:DescribeStackResources",
        "cloudformation:DescribeStacks",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:GetTemplate",
        "cloudformation:ListChangeSets",
        "cloudformation:ListStackResources",
    },
    TRANSFORM: {"cloudformation:CreateChangeSet"},
    # Of a template for which there is no stack yet.
    "*": {"cloudformation:GetTemplateSummary"},
    "Artifacts": {"s3:GetBucketLocation", "s3:ListBucket"},
    "${Artifacts.Arn}/*": {"s3:GetObject", "s3:PutObject"},
    "ExecutionRole": {"iam:PassRole"},
    f"lambda:{ACCOUNT}:function:${{StackName}}-Collector-*": {"lambda:InvokeFunction"},
    f"lambda:{ACCOUNT}:function:${{StackName}}-Migrator-*": {"lambda:InvokeFunction"},
    f"{GATEWAY}/apikeys/*": {"apigateway:GET"},
}

# The only resources that CloudFormation's role has rights to, by service.
MADE = {
    "apigateway": {
        *(f"{GATEWAY}/{path}" for path in ("account", "apikeys", "apikeys/*", "restapis", "restapis/*", "tags/*")),
        *(f"{GATEWAY}/{path}" for path in ("usageplans", "usageplans/*", "domainnames")),
        *(DOMAIN, f"{DOMAIN}/apimappings", f"{DOMAIN}/apimappings/*", STAGE),
    },
    "codedeploy": {
        f"codedeploy:{ACCOUNT}:application:${{StackName}}-*",
        f"codedeploy:{ACCOUNT}:deploymentgroup:${{StackName}}-*",
        f"codedeploy:{ACCOUNT}:deploymentconfig:CodeDeployDefault.Lambda*",
    },
    "kms": {"KmsKeyArn"},
    "wafv2": {"WafAclArn", STAGE},
    "cloudformation": {TRANSFORM},
    "cloudwatch": {
        f"cloudwatch:{ACCOUNT}:alarm:${{StackName}}-*",
        "cloudwatch::${AWS::AccountId}:dashboard/${StackName}",
    },
    "iam": {
        ROLES,
        "iam::${AWS::AccountId}:policy/${StackName}-NetworkPolicy-*",
        "iam::${AWS::AccountId}:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway",
    },
    "lambda": {
        FUNCTIONS,
        f"lambda:{ACCOUNT}:layer:${{StackName}}-teams",
        f"lambda:{ACCOUNT}:layer:${{StackName}}-teams:*",
        f"lambda:{ACCOUNT}:event-source-mapping:*",
    },
    "logs": {f"logs:{ACCOUNT}:log-group:${{StackName}}-*"},
    "route53": {ZONE, "route53:::change/*"},
    "s3": {"${Artifacts.Arn}/*"},
    "scheduler": {f"scheduler:{ACCOUNT}:schedule/default/${{StackName}}-*"},
    "secretsmanager": SECRETS,
    "sns": {f"sns:{ACCOUNT}:${{StackName}}-*"},
    "sqs": {QUEUES},
}

# Actions of CloudFormation's role that have no resource, or, for subscriptions, one that IAM does not know.
MADE_WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutCompositeAlarm",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "lambda:ListEventSourceMappings",
    "logs:DescribeIndexPolicies",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes",
    "sns:Unsubscribe",
}

# Whose resources are named after the stack, so that everything may be done to them.
WHOLE_SERVICES = {"cloudwatch:*", "codedeploy:*", "lambda:*", "logs:*", "scheduler:*", "sns:*", "sqs:*"}

# Conditions without which a right would reach further than its resource says.
BOUNDED = {"StringEquals": {"iam:PermissionsBoundary": {"Ref": "Boundary"}}}
OF_OUR_FUNCTIONS = {"ArnLike": {"lambda:FunctionArn": {"Fn::Sub": f"arn:${{AWS::Partition}}:{FUNCTIONS}"}}}
OUR_RECORD = {
    "ForAllValues:StringEquals": {
        "route53:ChangeResourceRecordSetsNormalizedRecordNames": [{"Ref": "DomainName"}],
        "route53:ChangeResourceRecordSetsRecordTypes": ["A"],
    }
}
PASSED = [
    "codedeploy.amazonaws.com",
    "lambda.amazonaws.com",
    "scheduler.amazonaws.com",
    {"Fn::If": ["SetsLogsRole", "apigateway.amazonaws.com", {"Ref": "AWS::NoValue"}]},
]
CONDITIONS = {
    **dict.fromkeys(("iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRolePolicy"), BOUNDED),
    **dict.fromkeys(("iam:DetachRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"), BOUNDED),
    "iam:CreateServiceLinkedRole": {"StringEquals": {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"}},
    "iam:PassRole": {"StringEquals": {"iam:PassedToService": PASSED}},
    # A grant for a service, not for somebody.
    "kms:CreateGrant": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
    "apigateway:SetWebACL": TAGGED,
    # Of an API that is being made there are no tags yet.
    "apigateway:UpdateRestApiPolicy": {"StringEqualsIfExists": TAGGED["StringEquals"]},
    "lambda:CreateEventSourceMapping": OF_OUR_FUNCTIONS,
    "lambda:DeleteEventSourceMapping": OF_OUR_FUNCTIONS,
    "lambda:UpdateEventSourceMapping": OF_OUR_FUNCTIONS,
    "route53:ChangeResourceRecordSets": OUR_RECORD,
}

# API Gateway makes up the ids of what is here, so tags say what is the stack's.
BY_TAG = {
    **dict.fromkeys((f"{GATEWAY}/{kind}" for kind in ("apikeys", "restapis", "usageplans")), [WITH_TAG]),
    **dict.fromkeys((f"{GATEWAY}/{kind}/*" for kind in ("apikeys", "restapis", "usageplans")), [TAGGED]),
    # What is made with tags is tagged by a call of its own.
    f"{GATEWAY}/tags/*": [TAGGED, WITH_TAG],
}

# What CloudFormation's own list asks for, and what the stack has no use for.
NOT_NEEDED = {
    "amplify:*": "no firewall is in front of anything else",
    "apprunner:*": "no firewall is in front of anything else",
    "appsync:*": "no firewall is in front of anything else",
    "bedrock-agentcore:*": "no firewall is in front of anything else",
    "cognito-idp:*": "no firewall is in front of anything else",
    "ec2:AssociateVerifiedAccessInstanceWebAcl": "no firewall is in front of anything else",
    "ec2:DescribeVerifiedAccessInstanceWebAclAssociations": "no firewall is in front of anything else",
    "ec2:DisassociateVerifiedAccessInstanceWebAcl": "no firewall is in front of anything else",
    "ec2:GetVerifiedAccessInstanceWebAcl": "no firewall is in front of anything else",
    "elasticloadbalancing:*": "no firewall is in front of anything else",
    "elasticfilesystem:*": "functions have no file systems",
    "firehose:*": "logs are not delivered anywhere",
    "iam:AttachGroupPolicy": "the network's policy is for roles",
    "iam:AttachUserPolicy": "the network's policy is for roles",
    "iam:DeleteRolePermissionsBoundary": "a role stays in its boundary",
    "iam:DetachGroupPolicy": "the network's policy is for roles",
    "iam:DetachUserPolicy": "the network's policy is for roles",
    "iam:UpdateRole": "roles have no time of their own",
    "iam:UpdateRoleDescription": "roles have no description",
    "s3:GetObjectVersion": "uploads are named by their content",
    "s3:REST.PUT.OBJECT": "logs are not delivered anywhere",
    "s3files:*": "functions have no file systems",
    "secretsmanager:GetRandomPassword": "secrets are created empty",
    "secretsmanager:GetSecretValue": "what deploys reads no secret",
    "secretsmanager:RemoveRegionsFromReplication": "secrets are in one region",
    "secretsmanager:ReplicateSecretToRegions": "secrets are in one region",
    "wafv2:GetPermissionPolicy": "the firewall is of this account",
    "wafv2:PutPermissionPolicy": "the firewall is of this account",
}

# What CloudFormation's list leaves out: it has none for some types, and none for the deployment itself.
ALSO_NEEDED = {
    "cloudformation:CreateChangeSet": "SAM's transform",
    "iam:CreateServiceLinkedRole": "API Gateway has one, from an account's first API on",
    "lambda:ListEventSourceMappings": "to find those of a function",
    "route53:ChangeResourceRecordSets": "RecordSet has no list",
    "route53:GetChange": "RecordSet has no list",
    "route53:GetHostedZone": "RecordSet has no list",
    "route53:ListResourceRecordSets": "RecordSet has no list",
    "s3:GetObject": "what was uploaded",
}


@cache
def needed_to_make(kinds):
    """What CloudFormation says that it does to make, change, read and delete resources of these types.

    From its registry, of which the linter has a copy.
    """
    schemas = Path(importlib.util.find_spec("cfnlint").origin).parent / "data/schemas"
    files = json.loads((schemas / "providers/us-east-1.json").read_text())
    needed = set()
    for kind in kinds:
        handlers = json.loads((schemas / "resources" / f"{files[kind]}.json").read_text()).get("handlers", {})
        for step in ("create", "read", "update", "delete"):
            needed.update(handlers.get(step, {}).get("permissions", []))
    return frozenset(needed)


@cache
def stack():
    """template.yaml, which is what gets deployed."""
    return translated()


def service_of(action):
    return action.split(":")[0]


def covers(patterns, action):
    """Whether an action is among some, by its name or as one of its service. No other stars are in use."""
    return action in patterns or f"{service_of(action)}:*" in patterns


def cloudformation_may_make_the_stack(template):
    """It needs what its registry says. How far a right reaches is up to its resource, or to its condition."""
    allowed = [right for right in rights(template) if right[0] == "ExecutionRole"]
    needed = needed_to_make(frozenset(resource["Type"] for resource in stack()["Resources"].values()))
    actions = {action for _, action, _, _ in allowed}
    for action in sorted(needed):
        if covers(actions, action) == covers(NOT_NEEDED, action):
            yield f"ExecutionRole may {'' if covers(actions, action) else 'not '}{action}"
    for action in set(ALSO_NEEDED) - actions:
        yield f"ExecutionRole may not {action}, for {ALSO_NEEDED[action]}"
    for action in sorted(set(CONDITIONS) - actions):
        yield f"ExecutionRole may not {action}, under its condition"
    for action in sorted(MADE_WITHOUT_RESOURCE - {action for _, action, resource, _ in allowed if resource == "*"}):
        yield f"ExecutionRole may not {action}, which knows no resource"
    for _, action, resource, condition in allowed:
        if action not in ALSO_NEEDED and not any(covers({action}, one) for one in needed):
            yield f"ExecutionRole may {action} without need"
        wanted = [CONDITIONS[action]] if action in CONDITIONS else BY_TAG.get(resource, [{}])
        if condition not in map(written, wanted):
            yield f"ExecutionRole may {action} if {condition}, not if {written(wanted)}"
        is_for_all = action in MADE_WITHOUT_RESOURCE or wanted == [OF_OUR_FUNCTIONS]
        if resource not in MADE.get(service_of(action), ()) and not (resource == "*" and is_for_all):
            yield f"ExecutionRole may {action} on {resource}"
        if action.endswith("*") and action not in WHOLE_SERVICES:
            yield f"ExecutionRole may {action}"
    for resource, wanted in BY_TAG.items():
        tagged = {condition for _, _, reached, condition in allowed if reached == resource}
        for missing in set(map(written, wanted)) - tagged:
            yield f"ExecutionRole may do nothing to {resource} if {missing}"
    for service, resources in MADE.items():
        reached = {resource for _, action, resource, _ in allowed if service_of(action) == service}
        for missing in sorted(resources - reached):
            yield f"ExecutionRole may do nothing to {missing}"


def github_hands_over_and_does_not_make(template):
    conditions = {
        "iam:PassRole": {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}},
        # The key of any other API would be readable too.
        "apigateway:GET": TAGGED,
    }
    needed = {
        ("DeployRole", action, resource, written(conditions.get(action, {})))
        for resource, actions in DEPLOYS.items()
        for action in actions
    }
    yield from differences({right for right in rights(template) if right[0] == "DeployRole"}, needed)


def only_one_environment_deploys(template):
    """Exactly: no `StringLike`, no star."""
    roles = properties(template, "IAM::Role")
    (trust,) = listed(roles["DeployRole"]["AssumeRolePolicyDocument"]["Statement"])
    issuers = [provider["Url"] for provider in properties(template, "IAM::OIDCProvider").values()]
    if issuers != ["https://token.actions.githubusercontent.com"]:
        yield f"{issuers} say who deploys"
    host = "token.actions.githubusercontent.com"
    audience = [provider["ClientIdList"] for provider in properties(template, "IAM::OIDCProvider").values()]
    if audience != [["sts.amazonaws.com"]]:
        yield f"tokens are for {audience}"
    subject = {"Fn::Sub": "repo:${Repository}:environment:${Environment}"}
    if trust["Action"] != "sts:AssumeRoleWithWebIdentity" or trust.get("Condition") != {
        "StringEquals": {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": subject}
    }:
        yield f"DeployRole is taken by others: {written(trust)}"
    for name in ("Repository", "Environment"):
        if "*" in template["Parameters"][name]["AllowedPattern"]:
            yield f"{name} may be a star"
    (trust,) = listed(roles["ExecutionRole"]["AssumeRolePolicyDocument"]["Statement"])
    # CloudFormation does not guarantee to say for whom it calls.
    if trust != {
        "Effect": "Allow",
        "Principal": {"Service": "cloudformation.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEqualsIfExists": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
    }:
        yield f"ExecutionRole is taken by others: {written(trust)}"


# What AmazonAPIGatewayPushToCloudWatchLogs does, the policy of AWS that one role of the stack has.
ACCESS_LOGS = {
    "logs:CreateLogGroup",
    "logs:CreateLogStream",
    "logs:DescribeLogGroups",
    "logs:DescribeLogStreams",
    "logs:FilterLogEvents",
    "logs:GetLogEvents",
    "logs:PutLogEvents",
}
# What roles of the stack may have rights to at most, by service.
WITHIN = {
    "cloudwatch": {"*"},
    "ec2": {"*"},
    "kms": {"KmsKeyArn"},
    "lambda": {FUNCTIONS},
    "logs": {"*"},
    "rds-db": {f"rds-db:{ACCOUNT}:dbuser:${{DatabaseResourceId}}/*"},
    "secretsmanager": {*SECRETS, written({"Fn::Split": [",", {"Ref": "SecretArns"}]})},
    "ses": {f"ses:{ACCOUNT}:identity/*"},
    "sqs": {QUEUES},
    "xray": {"*"},
}


def the_boundary_is_as_wide_as_the_stack(template):
    """A change to the template cannot create an administrator, and what the stack's roles do is possible."""
    namespace = {"StringEquals": {"cloudwatch:namespace": {"Fn::Sub": "Mergeline/${StackName}"}}}
    used = {action for _, action, _, _ in rights(stack())} | ACCESS_LOGS
    allowed = [right for right in rights(template) if right[0] == "Boundary"]
    for action in sorted(used):
        reached = {resource for _, pattern, resource, _ in allowed if covers({pattern}, action)}
        if reached != WITHIN.get(service_of(action)):
            yield f"roles of the stack may {action} on {sorted(reached)}"
    for _, action, resource, condition in allowed:
        if not any(covers({action}, one) for one in used):
            yield f"no role of the stack needs {action}"
        if resource not in WITHIN.get(service_of(action), ()):
            yield f"roles of the stack may {action} on {resource}"
        if condition != written(namespace if action == "cloudwatch:PutMetricData" else {}):
            yield f"roles of the stack may {action} if {condition}"


# Rights that are there only if a parameter is given.
CONDITIONAL = {
    "::/account": "SetsLogsRole",
    "domainnames": "HasDomain",
    "kms:": "HasKey",
    "rds-db:": "HasDatabase",
    "route53": "HasZone",
    "SecretArns": "HasSecrets",
    "wafv2:": "HasFirewall",
}


def rights_come_with_what_they_are_for(template):
    """A stack without a domain may not touch any."""
    for name, resource in (properties(template, "IAM::Role") | properties(template, "IAM::ManagedPolicy")).items():
        for node in walk(resource):
            for statement in node.get("Statement", []) if isinstance(node.get("Statement"), list) else []:
                condition = statement.get("Fn::If", [None])[0]
                for part in (written(branch) for branch in branches(statement)):
                    for what, wanted in CONDITIONAL.items():
                        if what in part and condition != wanted:
                            yield f"{name} has rights to {what} also without {wanted}"


def roles_have_only_their_own_rights(template):
    """No policy from elsewhere, which would be for more than what its own say."""
    for name, role in properties(template, "IAM::Role").items():
        if role.get("ManagedPolicyArns"):
            yield f"{name} has {written(role['ManagedPolicyArns'])}"


def uploads_are_private_and_encrypted(template):
    for name, bucket in properties(template, "S3::Bucket").items():
        blocked = bucket.get("PublicAccessBlockConfiguration", {})
        wanted = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
        if not all(blocked.get(key) is True for key in wanted):
            yield f"{name} may be public"
        if "SSEAlgorithm" not in texts(bucket.get("BucketEncryption", {})):
            yield f"{name} is not encrypted"
        if bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
            yield f"{name} may hold what others own"
        if bucket.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{name}: what is replaced is gone at once"
        if name not in {target(policy["Bucket"]) for policy in properties(template, "S3::BucketPolicy").values()}:
            yield f"{name} has no policy"


POLICIES = [
    cloudformation_may_make_the_stack,
    github_hands_over_and_does_not_make,
    only_one_environment_deploys,
    the_boundary_is_as_wide_as_the_stack,
    rights_come_with_what_they_are_for,
    roles_have_only_their_own_rights,
    uploads_are_private_and_encrypted,
]
