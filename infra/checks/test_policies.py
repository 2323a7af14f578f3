"""The template keeps its policies, and each policy finds what it is there to find."""

import copy

import nodes
import policies
import pytest
from changes import add, anyone, properties, put, statement
from translate import translated


def named(template, kind):
    """The name of the only resource of a type."""
    (name,) = nodes.of_type(template, kind)
    return name


def body(template):
    return properties(template, "Gateway")["Body"]


def page(template, path):
    """A path of the page, where there is one."""
    return body(template)["paths"][path]["Fn::If"][1]


def operation(template):
    return body(template)["paths"]["/{proxy+}"]["get"]


def responses(template):
    return body(template)["x-amazon-apigateway-gateway-responses"]


def stage(template):
    return properties(template, named(template, "ApiGateway::Stage"))


def setting(template, place):
    """The limits of a method that is there under a condition."""
    return stage(template)["MethodSettings"][place]["Fn::If"][1]


def kept_out(template):
    return properties(template, "Gateway")["Policy"]["Fn::If"][1]["Statement"]


def last_statements(template, role):
    return properties(template, role)["Policies"][-1]["PolicyDocument"]["Statement"]


def published(template):
    return properties(template, "TopicPolicy")["PolicyDocument"]["Statement"][0]


def rollout(template):
    return properties(template, named(template, "CodeDeploy::DeploymentGroup"))


def log_format(template):
    return stage(template)["AccessLogSetting"]["Fn::If"][1]["Format"]


def variables(template, function="Collector"):
    return properties(template, function)["Environment"]["Variables"]


def trust(template, role="ApiRole"):
    return properties(template, role)["AssumeRolePolicyDocument"]["Statement"][0]


def replace_in_dashboard(template, old, new):
    text = properties(template, "Dashboard")["DashboardBody"]["Fn::Sub"]
    assert old in text[0]
    text[0] = text[0].replace(old, new)


# What each policy must notice.
BREAKS = {
    "numbers_are_within_limits": {
        "a batch without a time to wait for it": put("CollectorWork/Properties/BatchSize", 100),
        "megabytes as kilobytes": put("Api/Properties/MemorySize", 262144),
        "as text": put("Api/Properties/MemorySize", "262144"),
        "a parameter's": lambda t: t["Parameters"]["WorkersAtOnce"].update(MaxValue=2000),
        "a parameter without an end": lambda t: t["Parameters"]["ApiMonthlyQuota"].pop("MaxValue"),
        "one of a parameter's values": lambda t: t["Parameters"]["LogRetentionDays"]["AllowedValues"].append(3653),
        "under a condition": lambda t: stage(t)["MethodSettings"][0].update(
            ThrottlingRateLimit={"Fn::If": ["HasWebhooks", 10_000, 0]}
        ),
        "of a mapping": lambda t: (
            t["Mappings"].update(Sizes={"small": {"MB": 256}, "large": {"MB": 10_240}}),
            properties(t, "Api").update(MemorySize={"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "MB"]}),
        ),
        "a parameter of no property": lambda t: t["Parameters"]["ApiKeyVersion"].pop("MaxValue"),
        "a parameter that was not thought of": lambda t: t["Parameters"].update(
            More={"Type": "Number", "Default": 1, "MinValue": 1, "MaxValue": 2}
        ),
        "one that was not thought of": put("Api/Properties/EphemeralStorage", {"Size": 512}),
        "endless receives": lambda t: properties(t, "Work")["RedrivePolicy"].update(maxReceiveCount=1000),
        "a count of bytes": lambda t: properties(t, "TooManyRequests")["MetricTransformations"][0].update(
            MetricValue="1000"
        ),
    },
    "numbers_are_given": {
        "memory": put("Api/Properties/MemorySize", None),
        "a function's time": put("Collector/Properties/Timeout", None),
        "workers": put("CollectorWork/Properties/ScalingConfig", None),
        "a throttle": put("UsagePlan/Properties/Throttle", None),
        "logs forever": put("ApiLogs/Properties/RetentionInDays", None),
        "access logs forever": put("AccessLog/Properties/RetentionInDays", None),
        "a schedule tried once": put("CollectorSchedule/Properties/Target/RetryPolicy", None),
        "nothing chosen": put(
            "Api/Properties/MemorySize", {"Fn::If": ["IsApp", {"Ref": "AWS::NoValue"}, {"Ref": "AWS::NoValue"}]}
        ),
    },
    "defaults_are_sensible": {
        "a large default": lambda t: t["Parameters"]["ApiMonthlyQuota"].update(Default=100_000_000),
        "a default that is refused": lambda t: t["Parameters"]["LedgerDays"].update(Default=3),
    },
    "what_costs_by_the_hour_is_asked_for": {
        "a database": add("RDS::DBInstance", DBInstanceClass="db.t4g.micro"),
        "an endpoint": add("EC2::VPCEndpoint", VpcEndpointType="Interface"),
    },
    "what_holds_data_is_kept": {
        "deleted": put("DatabaseSecret/DeletionPolicy", "Delete"),
        "left behind": put("GitHubSecret/DeletionPolicy", "Retain"),
        "replaced": put("DatabaseSecret/UpdateReplacePolicy", None),
        "a role that others log with": put("ApiGatewayLogsRole/DeletionPolicy", None),
    },
    "nobody_else_is_trusted": {
        "everybody takes a role": lambda t: trust(t).update(Principal="*"),
        "every account takes a role": lambda t: trust(t).update(Principal={"AWS": "*"}),
        "every account, among others": lambda t: trust(t)["Principal"].update(AWS=[{"Ref": "AWS::AccountId"}, "*"]),
        "every account, if": lambda t: trust(t).update(
            Principal={"AWS": "*"}, Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}
        ),
        "all but one": lambda t: trust(t).update(NotPrincipal={"AWS": {"Ref": "AWS::AccountId"}}),
        "another account": lambda t: trust(t).update(Principal={"AWS": "arn:aws:iam::123456789012:root"}),
        "another account, by its number": lambda t: trust(t).update(Principal={"AWS": "123456789012"}),
        "a parameter": lambda t: trust(t).update(Principal={"AWS": {"Ref": "DomainName"}}),
        "another service": lambda t: trust(t).update(Principal={"Service": "ec2.amazonaws.com"}),
        "another provider": lambda t: trust(t).update(Principal={"Federated": "accounts.google.com"}),
        "a queue": add("SQS::QueuePolicy", Queues=[{"Ref": "Work"}], PolicyDocument=anyone("*")),
        "a topic": add("SNS::TopicPolicy", Topics=[{"Ref": "AlarmTopic"}], PolicyDocument=anyone({"AWS": "*"})),
        "a key": add("KMS::Key", KeyPolicy=anyone({"AWS": ["*"]})),
        "a secret": add(
            "SecretsManager::ResourcePolicy", SecretId={"Ref": "GitHubSecret"}, ResourcePolicy=anyone({"AWS": "*"})
        ),
        "the API": put("Gateway/Properties/Policy", anyone("*")),
        "a function": add(
            "Lambda::Permission", FunctionName={"Ref": "Api"}, Principal="*", Action="lambda:InvokeFunction"
        ),
        "a function, from another account": lambda t: properties(t, "ApiGetPermissionv1").update(
            Principal="123456789012"
        ),
        "a function, from any API": lambda t: properties(t, "ApiGetPermissionv1").pop("SourceArn"),
        "a layer": add("Lambda::LayerVersionPermission", Principal="*", Action="lambda:GetLayerVersion"),
        "an address of its own": add("Lambda::Url", TargetFunctionArn={"Ref": "Api"}, AuthType="NONE"),
    },
    "no_account_is_named": {
        "a role's": lambda t: trust(t).update(Principal={"AWS": "arn:aws:iam::123456789012:root"}),
        "a queue's": lambda t: statement(t, "ApiRole", "sqs:SendMessage").update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:sqs:${AWS::Region}:123456789012:work"}
        ),
        "joined": lambda t: statement(t, "ApiRole", "sqs:SendMessage").update(
            Resource={"Fn::Join": [":", ["arn:aws:sqs", "eu-north-1", "123456789012", "work"]]}
        ),
        "a default": lambda t: t["Parameters"]["DatabaseSecretArn"].update(
            Default="arn:aws:secretsmanager:eu-north-1:123456789012:secret:x-abcdef"
        ),
    },
    "what_is_denied_stays_denied": {
        "not": lambda t: properties(t, "NetworkPolicy")["PolicyDocument"]["Statement"].pop(),
        "less": lambda t: properties(t, "NetworkPolicy")["PolicyDocument"]["Statement"][1].update(Action="ec2:Create*"),
        "at times": lambda t: properties(t, "NetworkPolicy")["PolicyDocument"]["Statement"][1]["Condition"].update(
            Null={"lambda:SourceFunctionArn": "true"}
        ),
        "allowed": lambda t: properties(t, "NetworkPolicy")["PolicyDocument"]["Statement"][1].update(Effect="Allow"),
        "something else": lambda t: statement(t, "ApiRole", "logs:PutLogEvents").update(Effect="Deny"),
    },
    "nobody_comes_in_from_outside": {
        "the world": add("EC2::SecurityGroup", SecurityGroupIngress=[{"IpProtocol": "tcp", "CidrIp": "0.0.0.0/0"}]),
        "the world, beside a group": add(
            "EC2::SecurityGroupIngress", IpProtocol="tcp", FromPort=443, ToPort=443, CidrIpv6="::/0"
        ),
    },
    "connections_go_where_they_should": {
        "anywhere by default": add("EC2::SecurityGroup", GroupDescription="open"),
        "anywhere": add("EC2::SecurityGroupEgress", IpProtocol="-1", CidrIp="0.0.0.0/0"),
    },
    "functions_run_their_program": {
        "the other's": put("Collector/Properties/Code/S3Key", "api.zip"),
        "and the reverse": put("Api/Properties/Code/S3Key", "collector.zip"),
        "one more function": lambda t: t["Resources"].update(Added=copy.deepcopy(t["Resources"]["Api"])),
    },
    "alarms_fire_in_time": {
        "too late": put("CollectorFailing/Properties/Threshold", 3000),
        "always": put("ApiFailing/Properties/Threshold", 0),
        "later than the end": put("CollectorNearTimeout/Properties/Threshold", 900_000),
        "the other way": put("DatabaseStorage/Properties/ComparisonOperator", "GreaterThanThreshold"),
        "by a parameter": lambda t: t["Parameters"]["StaleAfterHours"].update(MaxValue=8760),
        "not at all": put("ApiSlow/Properties/Threshold", None),
        "nobody knows when": lambda t: t["Resources"].update(Added=t["Resources"]["ApiSlow"]),
    },
    "messages_outlive_their_receives": {
        "gone before": put("Changes/Properties/MessageRetentionPeriod", 14_400),
        "too often": lambda t: properties(t, "Work")["RedrivePolicy"].update(maxReceiveCount=100),
    },
    "functions_run_on_arm": {
        "x86": put("Api/Properties/Architectures", ["x86_64"]),
        "architecture left out": put("Collector/Properties/Architectures", None),
        "old system": put("Api/Properties/Runtime", "provided.al2"),
        "layer": lambda t: properties(t, named(t, "Lambda::LayerVersion")).pop("CompatibleArchitectures"),
    },
    "functions_end_in_time": {
        "short collector": put("Collector/Properties/Timeout", 300),
        "longer than the gateway": put("Api/Properties/Timeout", 60),
        "shorter than a request": put("Api/Properties/Timeout", 10),
        "unknown to the program": lambda t: variables(t, "Api").pop("REQUEST_TIMEOUT_SECONDS"),
    },
    "traces_are_sent_only_where_they_are_wanted": {
        "function": put("Collector/Properties/TracingConfig", None),
        "always": put("Api/Properties/TracingConfig", {"Mode": "Active"}),
        "gateway": lambda t: stage(t).pop("TracingEnabled"),
        "allowed": lambda t: properties(t, "ApiRole")["Policies"][0]["PolicyDocument"]["Statement"].append(
            {"Effect": "Allow", "Action": "xray:PutTraceSegments", "Resource": "*"}
        ),
        "default": lambda t: t["Parameters"]["Tracing"].update(Default="xray"),
    },
    "variables_are_known": {"slip": lambda t: variables(t).update(BACKFIL_DAYS="3")},
    "functions_may_join_a_network": {
        "not at all": put("Api/Properties/VpcConfig", None),
        "no permission": put("CollectorRole/Properties/ManagedPolicyArns", []),
        "swapped": lambda t: properties(t, "Api")["VpcConfig"]["Fn::If"][1].update(
            SubnetIds={"Ref": "SecurityGroupIds"}
        ),
    },
    "both_functions_see_the_layer": {"api": put("Api/Properties/Layers", [])},
    "messages_are_hidden_long_enough": {
        "short": put("Work/Properties/VisibilityTimeout", 900),
        "shorter with the wait for a batch": put("CollectorWork/Properties/MaximumBatchingWindowInSeconds", 60),
        "default": put("Work/Properties/VisibilityTimeout", None),
    },
    "batches_fail_partially": {"all or nothing": put("CollectorWork/Properties/FunctionResponseTypes", None)},
    "a_worker_takes_one_repository_at_a_time": {
        "five": put("CollectorWork/Properties/BatchSize", 5),
        "default": put("CollectorChanges/Properties/BatchSize", None),
    },
    "workers_are_not_refused": {
        "reserved": put("Collector/Properties/ReservedConcurrentExecutions", 2),
    },
    "unfinished_work_may_come_back": {
        "stopped": put("Collector/Properties/RecursiveLoop", "Terminate"),
        "default": put("Collector/Properties/RecursiveLoop", None),
    },
    "failures_land_somewhere": {
        "queue": put("Work/Properties/RedrivePolicy", None),
        "schedule": put("CollectorSchedule/Properties/Target/DeadLetterConfig", None),
        "asynchronous": put("CollectorEventInvokeConfig/Properties/DestinationConfig", None),
        "no asynchronous settings": lambda t: t["Resources"].pop("CollectorEventInvokeConfig"),
        "forgetful": put("DeadLetters/Properties/MessageRetentionPeriod", None),
        "unwatched": lambda t: t["Resources"].pop("DeadLettersWaiting"),
    },
    "collections_run_as_often_as_asked": {
        "fixed": put("CollectorSchedule/Properties/ScheduleExpression", "rate(4 hours)"),
        "one hours": lambda t: t["Mappings"]["Cadence"]["1"].update(Schedule="rate(1 hours)"),
        "another value": lambda t: t["Parameters"]["CollectEvery"]["AllowedValues"].append("6"),
        "unknown to the API": lambda t: variables(t, "Api").pop("COLLECT_EVERY_HOURS"),
        "disabled": put("CollectorSchedule/Properties/State", "DISABLED"),
        "gone": lambda t: t["Resources"].pop("CollectorSchedule"),
    },
    "messages_are_looked_for_where_there_are_channels": {
        "all the time": put("NotifySchedule/Properties/ScheduleExpression", "rate(1 minutes)"),
        "disabled": put("NotifySchedule/Properties/State", "DISABLED"),
        "another action": put("NotifySchedule/Properties/Target/Input", '{"action":"migrate"}'),
        "always": lambda t: t["Resources"]["NotifySchedule"].pop("Condition"),
        "gone": lambda t: t["Resources"].pop("NotifySchedule"),
    },
    "alarms_follow_the_cadence": {
        "fixed": put("RunMissing/Properties/EvaluationPeriods", 9),
        "wrong in the map": lambda t: t["Mappings"]["Cadence"]["8"].update(StaleHours=24),
        "a period": put("RateLimitLow/Properties/Period", 14400),
        "stale elsewhere": put("DataStale/Properties/Threshold", {"Ref": "StaleAfterHours"}),
        "too late": put("WorkWaiting/Properties/Threshold", 32400000),
        "never later": lambda t: t["Parameters"]["StaleAfterHours"].update(MaxValue=0),
    },
    "everything_is_encrypted_with_the_given_key": {
        "plain": put("Work/Properties/SqsManagedSseEnabled", False),
        "a queue": put("MissedRuns/Properties/KmsMasterKeyId", None),
        "a log": put("AccessLog/Properties/KmsKeyId", None),
        "a secret": put("GitHubSecret/Properties/KmsKeyId", "alias/aws/secretsmanager"),
        "settings": put("Api/Properties/KmsKeyArn", None),
        "not allowed": lambda t: last_statements(t, "CollectorScheduleRole").pop(),
    },
    "functions_log_to_our_groups": {
        "Lambda's own": put("Api/Properties/LoggingConfig", None),
    },
    "secrets_are_empty": {
        "value": put("GitHubSecret/Properties/SecretString", "x"),
        "variable": lambda t: variables(t).update(GITHUB_PAT="x"),
        "resolved": lambda t: variables(t).update(DB_URL_SECRET_ARN="{{resolve:secretsmanager:x}}"),
        "token": lambda t: t["Parameters"]["GitHubAppId"].update(Default="ghp_" + "a" * 36),
        "database": lambda t: t["Metadata"].update(Url="postgres://me:hunter2@db/m"),
    },
    "secrets_are_named_after_the_stack": {
        "by CloudFormation": put("GitHubSecret/Properties/Name", None),
        "no slash": put("DatabaseSecret/Properties/Name", {"Fn::Sub": "${AWS::StackName}-database"}),
    },
    "roles_are_each_for_one": {
        "administrator": put("ApiRole/Properties/ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
        "AWS's policy": lambda t: properties(t, "ApiRole")["ManagedPolicyArns"].append(
            {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"}
        ),
        "shared": put("Api/Properties/Role", {"Fn::GetAtt": ["CollectorRole", "Arn"]}),
        "no boundary": put("CollectorScheduleRole/Properties/PermissionsBoundary", None),
    },
    "roles_are_taken_by_their_users": {
        "another service": lambda t: trust(t).update(Principal={"Service": "scheduler.amazonaws.com"}),
        "one more service": lambda t: trust(t).update(
            Principal={"Service": ["lambda.amazonaws.com", "cloudformation.amazonaws.com"]}
        ),
        "another role": lambda t: trust(t).update(Principal={"AWS": {"Fn::GetAtt": ["CollectorRole", "Arn"]}}),
        "with tags": lambda t: trust(t).update(Action=["sts:AssumeRole", "sts:TagSession"]),
        "nobody": put("ApiGatewayAccount/Properties/CloudWatchRoleArn", {"Fn::GetAtt": ["ApiRole", "Arn"]}),
    },
    "roles_may_do_what_they_need": {
        "any resource": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue").update(Resource="*"),
        "any queue": lambda t: statement(t, "CollectorRole", "sqs:ReceiveMessage").update(Resource="arn:aws:sqs:*:*:*"),
        "any action": lambda t: statement(t, "CollectorRole", "sqs:ReceiveMessage").update(Action=["sqs:*"]),
        "all but some actions": lambda t: statement(t, "ApiRole", "logs:PutLogEvents").update(NotAction="iam:*"),
        "all but some resources": lambda t: statement(t, "ApiRole", "logs:PutLogEvents").update(NotResource="x"),
        "anybody's metrics": lambda t: statement(t, "CollectorRole", "cloudwatch:PutMetricData").pop("Condition"),
        "only at times": lambda t: statement(t, "ApiRole", "logs:PutLogEvents").update(
            Condition={"Null": {"x": "true"}}
        ),
        "any logs": lambda t: statement(t, "CollectorRole", "logs:PutLogEvents").update(
            Resource={"Fn::Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:*"}
        ),
        "what begins alike": lambda t: statement(t, "ApiRole", "logs:PutLogEvents").update(
            Resource={"Fn::Sub": "${ApiLogs.Arn}*"}
        ),
        "passing any role": lambda t: properties(t, "ApiRole")["Policies"][0]["PolicyDocument"]["Statement"].append(
            {
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"},
            }
        ),
        "in a policy beside the role": add(
            "IAM::RolePolicy",
            RoleName={"Ref": "ApiRole"},
            PolicyName="more",
            PolicyDocument={"Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]},
        ),
        "a secret not allowed": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue")["Resource"].pop(),
        "a secret without need": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue")["Resource"].append(
            {"Ref": "GitHubSecret"}
        ),
        "a secret no more": lambda t: variables(t, "Api").pop("API_KEYS_SECRET_ARN"),
        "a schedule without dead letters": lambda t: properties(t, "CollectorScheduleRole")["Policies"].pop(),
        "a schedule that cannot invoke": lambda t: properties(t, "CollectorScheduleRole")["Policies"].pop(0),
        "failures that cannot be sent": lambda t: statement(t, "CollectorRole", "sqs:SendMessage").update(
            Action=["sqs:ReceiveMessage"]
        ),
        "no traces": put("Api/Properties/TracingConfig", None),
        "no network": lambda t: t["Resources"].pop("NetworkPolicy"),
    },
    "every_request_shows_who_asks": {
        "open": lambda t: operation(t).pop("security"),
        "other header": lambda t: body(t)["components"]["securitySchemes"]["api_key"].update(name="key"),
        "other signature": lambda t: body(t)["components"]["securitySchemes"]["sigv4"].pop(
            "x-amazon-apigateway-authtype"
        ),
        "a key in place of a signature": lambda t: operation(t).update(security=[{"api_key": []}]),
        "a key or a signature": lambda t: operation(t).update(security=[{"api_key": []}, {"sigv4": []}]),
        "writing": lambda t: page(t, "/").update(post=copy.deepcopy(operation(t))),
        "not validated": lambda t: body(t).pop("x-amazon-apigateway-request-validator"),
        "nowhere": lambda t: operation(t)["x-amazon-apigateway-integration"].update(
            uri={"Fn::GetAtt": ["Collector", "Arn"]}
        ),
        "what was not published": lambda t: operation(t)["x-amazon-apigateway-integration"].update(
            uri={"Fn::Sub": policies.LIVE["Fn::Sub"].replace(":live", "")}
        ),
        "no paths": lambda t: body(t)["paths"].clear(),
        "not permitted": lambda t: t["Resources"].pop("ApiHeadPermissionv1"),
        "a webhook with a key": lambda t: body(t)["paths"]["/webhook/{plugin}"]["post"].update(
            security=[{"api_key": []}]
        ),
        "the page with a key": lambda t: page(t, "/app/{proxy+}")["get"].update(security=[{"api_key": []}]),
        "a page for nobody": lambda t: body(t)["paths"].update({"/app": page(t, "/app")}),
        "a page for nobody, by its condition": lambda t: t["Conditions"]["HasPage"]["Fn::Or"].append(
            {"Condition": "AsksForSignature"}
        ),
        "tokens that nobody checks": lambda t: variables(t, "Api").pop("AUTHORIZER"),
        "tokens for anybody": lambda t: variables(t, "Api").pop("JWT_AUDIENCE"),
        "a key beside tokens": lambda t: operation(t).update(
            security={"Fn::If": ["AsksForSignature", [{"sigv4": []}], [{"api_key": []}]]}
        ),
        "one more way": lambda t: t["Parameters"]["Authorizer"]["AllowedValues"].append("none"),
        "a preflight with a key": lambda t: body(t)["paths"]["/{proxy+}"]["options"].update(security=[{"api_key": []}]),
        "a preflight of the page": lambda t: page(t, "/app/api/{proxy+}").update(
            options=copy.deepcopy(body(t)["paths"]["/{proxy+}"]["options"])
        ),
        "data without a key": lambda t: body(t)["paths"]["/{proxy+}"]["get"].pop("security"),
    },
    "every_path_is_bounded": {
        "keys without a limit": lambda t: stage(t)["MethodSettings"][1].pop("ThrottlingRateLimit"),
        "no requests at all": lambda t: t["Parameters"]["ApiTotalRateLimit"].update(MinValue=0),
        "strangers with the limit of keys": lambda t: stage(t)["MethodSettings"][1].update(
            ThrottlingRateLimit={"Ref": "ApiTotalRateLimit"}
        ),
        "a path without a limit": lambda t: stage(t)["MethodSettings"].pop(2),
        "an unbounded page": lambda t: setting(t, 5).pop("ThrottlingBurstLimit"),
        "sessions without a provider": lambda t: setting(t, 11).update(ThrottlingRateLimit=20),
        "preflights without an origin": lambda t: stage(t)["MethodSettings"][14].update(ThrottlingRateLimit=20),
        "a path spelled otherwise": lambda t: setting(t, 7).update(ResourcePath="/app/{proxy+}"),
        "a limit for what is not there": lambda t: stage(t)["MethodSettings"].append(setting(t, 7)),
        "unbounded": lambda t: stage(t).pop("MethodSettings"),
        "open without secrets": lambda t: stage(t)["MethodSettings"][0].update(ThrottlingRateLimit=100),
    },
    "networks_and_endpoints_are_kept_out": {
        "no policy": put("Gateway/Properties/Policy", None),
        "webhooks everywhere": lambda t: kept_out(t).pop(),
        "everybody signs": lambda t: kept_out(t)[0].update(Principal="*"),
        "everybody, if": lambda t: kept_out(t)[1]["Fn::If"].__setitem__(2, kept_out(t)[1]["Fn::If"][1]),
        "more than the page": lambda t: kept_out(t)[2]["Fn::If"][1].update(Resource="execute-api:/*"),
        "allowed, not denied": lambda t: kept_out(t)[4]["Fn::If"][1].update(Effect="Allow"),
        "webhooks too": lambda t: kept_out(t)[4]["Fn::If"][1].update(Resource="execute-api:/*", NotResource=None),
        "nobody": lambda t: kept_out(t)[0].update(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        "not deployed": lambda t: t["Resources"].update(
            {
                name: {"Type": "AWS::ApiGateway::Deployment", "Properties": {}}
                for name in nodes.of_type(policies.translated(second=86400), "ApiGateway::Deployment")
            }
        ),
    },
    "releases_go_live_in_steps": {
        "another name": put("Api/Properties/FunctionName", None),
        "no alias": lambda t: t["Resources"].pop(named(t, "Lambda::Alias")),
        "at once": lambda t: t["Resources"][named(t, "Lambda::Alias")].pop("UpdatePolicy"),
        "unpublished": put("ApiGetPermissionv1/Properties/FunctionName", {"Ref": "Api"}),
        "a queue behind an alias": put("CollectorWork/Properties/FunctionName", {"Ref": "ApiAliaslive"}),
        "no guard": lambda t: rollout(t).pop("AlarmConfiguration"),
        "one guard": lambda t: rollout(t)["AlarmConfiguration"]["Fn::If"][1]["Alarms"].pop(0),
        "no way back": lambda t: rollout(t)["AutoRollbackConfiguration"].update(Events=["DEPLOYMENT_FAILURE"]),
        "fixed steps": lambda t: rollout(t).update(DeploymentConfigName="CodeDeployDefault.LambdaAllAtOnce"),
        "old settings": lambda t: properties(t, named(t, "Lambda::Version")).pop("Description"),
        "no change": put("Api/Properties/Description", "API"),
    },
    "requests_are_bounded": {
        "no quota": put("UsagePlan/Properties/Quota", None),
        "a daily quota": put("UsagePlan/Properties/Quota/Period", "DAY"),
        "no plan": lambda t: t["Resources"].pop("UsagePlan"),
        "no key": lambda t: t["Resources"].pop("UsagePlanKey"),
        "other stage": lambda t: stage(t).update(StageName="Prod"),
    },
    "the_key_can_be_replaced": {"same name": put("ApiKey/Properties/Name", {"Ref": "AWS::StackName"})},
    "there_is_one_stage": {
        "SAM's": lambda t: properties(t, named(t, "ApiGateway::Deployment")).update(StageName="Stage"),
        "none": lambda t: t["Resources"].pop(named(t, "ApiGateway::Stage")),
    },
    "the_gateway_speaks_like_the_program": {
        "missing": lambda t: responses(t).pop("THROTTLED"),
        "what is not signed": lambda t: responses(t).update(
            MISSING_AUTHENTICATION_TOKEN=responses(t)["MISSING_AUTHENTICATION_TOKEN"]["Fn::If"][2]
        ),
        "no JSON": lambda t: responses(t)["DEFAULT_5XX"].update(responseTemplates={"application/json": "{oops"}),
        "other form": lambda t: responses(t)["DEFAULT_4XX"].update(
            responseTemplates={"application/json": '{"error":{"code":"bad_request"}}'}
        ),
        "other code": lambda t: responses(t)["INVALID_API_KEY"].update(statusCode="401"),
        "without a trace": lambda t: responses(t)["DEFAULT_4XX"]["responseTemplates"].update(
            {
                "application/json": responses(t)["DEFAULT_4XX"]["responseTemplates"]["application/json"].replace(
                    "$context.requestId", ""
                )
            }
        ),
        "no Retry-After": lambda t: responses(t)["QUOTA_EXCEEDED"].pop("responseParameters"),
        "when to try again": lambda t: responses(t)["INTEGRATION_FAILURE"].pop("responseParameters"),
        "what took no time is no timeout": lambda t: responses(t).update(
            INTEGRATION_FAILURE=responses(t)["INTEGRATION_TIMEOUT"]
        ),
    },
    "access_is_logged": {
        "not": lambda t: stage(t).pop("AccessLogSetting"),
        "no JSON": lambda t: stage(t)["AccessLogSetting"]["Fn::If"][1].update(Format="$context.requestId"),
        "no id": lambda t: stage(t)["AccessLogSetting"]["Fn::If"][1].update(
            Format=log_format(t).replace("requestId", "stage")
        ),
        "the key": lambda t: stage(t)["AccessLogSetting"]["Fn::If"][1].update(
            Format=log_format(t).replace("apiKeyId", "apiKey")
        ),
        "number in quotes": lambda t: stage(t)["AccessLogSetting"]["Fn::If"][1].update(
            Format=log_format(t).replace("$context.responseLatency", '"$context.responseLatency"')
        ),
        "no number without quotes": lambda t: stage(t)["AccessLogSetting"]["Fn::If"][1].update(
            Format=log_format(t).replace('"$context.integrationLatency"', "$context.integrationLatency")
        ),
    },
    "alarms_look_at_metrics_that_exist": {
        "ours": put("RateLimitLow/Properties/MetricName", "RateLimit"),
        "in an expression": lambda t: properties(t, "DataStale")["Metrics"][1]["MetricStat"]["Metric"].update(
            MetricName="DataAge"
        ),
        "AWS's": put("ApiFailing/Properties/MetricName", "5XXErrors"),
        "namespace": put("TokenRefused/Properties/Namespace", "Mergeline"),
        "dimensions": put("ApiFailing/Properties/Dimensions", [{"Name": "ApiId", "Value": {"Ref": "Gateway"}}]),
        "dimensions that we do not send": put(
            "TokenRefused/Properties/Dimensions", [{"Name": "Repository", "Value": "x"}]
        ),
        "queue": put("DeadLettersWaiting/Properties/Dimensions", [{"Name": "QueueName", "Value": {"Ref": "Api"}}]),
        "name of the API": put("Gateway/Properties/Name", "mergeline"),
        "expression": lambda t: properties(t, "FunctionsThrottled")["Metrics"][0].update(Expression="collector + web"),
        "sent elsewhere": lambda t: variables(t).update(METRICS_NAMESPACE="Mergeline"),
        "filter gone": lambda t: t["Resources"].pop("TooManyRequests"),
    },
    "alarms_can_ring": {
        "gone": lambda t: t["Resources"].pop("NoRunCompleted"),
        "small samples": put("ApiSlow/Properties/EvaluateLowSampleCountPercentile", "ignore"),
        "unheard": put("ApiSlow/Properties/AlarmActions", []),
        "silent": put("ApiSlow/Properties/ActionsEnabled", False),
        "silence is fine": put("RunMissing/Properties/TreatMissingData", "notBreaching"),
        "silence is a new stack": put("FirstRunCompleted/Properties/TreatMissingData", "notBreaching"),
        "a new stack wakes": put("NoRunCompleted/Properties/AlarmRule", {"Fn::Sub": 'ALARM("${RunMissing}")'}),
        "silence is nothing": put("RunsPartial/Properties/TreatMissingData", None),
        "odd period": put("ApiFailing/Properties/Period", 100),
        "eight days": put("RunsPartial/Properties/EvaluationPeriods", 8 * 24),
        "days of minutes": put("ApiSlow/Properties/EvaluationPeriods", 400),
        "more than all": put("RunsPartial/Properties/DatapointsToAlarm", 14),
        "two results": lambda t: properties(t, "DataStale")["Metrics"][1].update(ReturnData=True),
        "no runbook": put("ApiSlow/Properties/AlarmDescription", "slow"),
        "encrypted topic": put("AlarmTopic/Properties", {"KmsMasterKeyId": "alias/aws/sns"}),
    },
    "little_is_watched_where_little_is_paid": {
        "an alarm": lambda t: t["Resources"]["ApiSlow"].pop("Condition"),
        "a filter": lambda t: t["Resources"]["WorkersOutOfMemory"].pop("Condition"),
        "a dashboard": lambda t: t["Resources"]["Dashboard"].pop("Condition"),
        "too little": lambda t: t["Resources"]["ApiFailing"].update(Condition="HasAlarms"),
        "a metric that is not sent": put("CollectorFailing/Properties/Namespace", policies.NAMESPACE["Fn::Sub"]),
    },
    "alarms_wake_somebody_or_wait": {
        "woken": put("TokenExpires/Properties/AlarmActions", [{"Ref": "AlarmTopic"}]),
        "not woken": put("ApiFailing/Properties/AlarmActions", [{"Ref": "NoticeTopic"}]),
        "twice": lambda t: properties(t, "ApiFailing")["AlarmActions"].append({"Ref": "NoticeTopic"}),
        "no end": put("ApiFailing/Properties/OKActions", None),
        "end elsewhere": put("RateLimitLow/Properties/OKActions", [{"Ref": "AlarmTopic"}]),
        "swapped": lambda t: t["Outputs"]["AlarmTopicArn"].update(Value={"Ref": "NoticeTopic"}),
        "unnamed": lambda t: t["Outputs"].pop("NoticeTopicArn"),
        "no e-mail": lambda t: t["Resources"].pop("NoticeEmailSubscription"),
    },
    "only_alarms_publish": {
        "gone": lambda t: t["Resources"].pop("TopicPolicy"),
        "one topic": lambda t: properties(t, "TopicPolicy")["Topics"].pop(),
        "anybody": lambda t: published(t).update(Principal={"AWS": "*"}),
        "another service": lambda t: published(t).update(Principal={"Service": "s3.amazonaws.com"}),
        "other accounts": lambda t: published(t).pop("Condition"),
        "subscribing": lambda t: published(t).update(Action="sns:*"),
    },
    "the_dashboard_can_be_read": {
        "no JSON": lambda t: properties(t, "Dashboard")["DashboardBody"]["Fn::Sub"].__setitem__(
            0, "{ ${ApiLimitedArn}"
        ),
        "unknown metric": lambda t: replace_in_dashboard(t, '"GraphQLPoints"', '"GraphQlPoints"'),
        "overlap": lambda t: replace_in_dashboard(t, '"x": 6, "y": 6', '"x": 5, "y": 6'),
        "an unknown widget": lambda t: replace_in_dashboard(t, '"type": "log"', '"type": "logs"'),
        "a widget without its metrics": lambda t: replace_in_dashboard(t, '"metrics": [', '"values": ['),
        "a text without text": lambda t: replace_in_dashboard(t, '"markdown"', '"text"'),
        "hidden alarm": lambda t: replace_in_dashboard(t, '"${TokenExpires.Arn}", ', ""),
    },
    "everything_referred_to_is_there": {"typing error": put("Work/Properties/QueueName", {"Ref": "Worq"})},
    "nothing_waits_in_a_circle": {
        "two": put("Work/DependsOn", ["CollectorWork"]),
        "the API and its gateway": lambda t: operation(t)["x-amazon-apigateway-integration"].update(
            uri={"Fn::Sub": "${ApiAliaslive}"}
        ),
    },
    "commands_invoke_once": {
        "again": lambda t: t["Outputs"]["Migrate"].update(
            Value={"Fn::Sub": "aws lambda invoke --function-name ${Collector} --cli-read-timeout 900 /dev/stdout"}
        ),
        "impatient": lambda t: t["Outputs"]["CollectNow"].update(
            Value={"Fn::Sub": "AWS_MAX_ATTEMPTS=1 aws lambda invoke --function-name ${Collector} /dev/stdout"}
        ),
    },
    "outputs_hold_under_every_condition": {
        "condition": lambda t: t["Outputs"]["StoreTheDatabaseUrl"].pop("Condition"),
        "gone": lambda t: t["Outputs"].pop("ReadTheApiKey"),
        "unexplained": lambda t: t["Outputs"]["ApiUrl"].pop("Description"),
    },
}


@pytest.mark.parametrize(
    ("path", "policy"),
    [pytest.param(path, it, id=f"{path}: {it.__name__}") for path in policies.JUDGED for it in policies.JUDGED[path]],
)
def test_the_template_keeps_the_policy(path, policy, templates):
    assert list(policy(templates[path])) == []


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        pytest.param(policy, change, id=f"{policy.__name__}: {what}")
        for policy in policies.JUDGED["template.yaml"]
        for what, change in BREAKS.get(policy.__name__, {}).items()
    ],
)
def test_the_policy_notices(policy, change, template):
    broken = copy.deepcopy(template)
    change(broken)
    found = policies.judge(policy, broken)
    assert found and not [it for it in found if it.startswith(policies.CANNOT_JUDGE)], found


def test_every_policy_was_seen_to_notice_something():
    # The runbook's is tried on a text of its own.
    tried = set(BREAKS) | {"the_runbook_has_an_entry_for_each_alarm"}
    assert {policy.__name__ for policy in policies.JUDGED["template.yaml"]} == tried


@pytest.mark.parametrize(("function", "other"), [("Collector", "api"), ("Api", "collector")])
def test_a_function_that_is_built_from_another_program_is_noticed(function, other, written):
    changed = copy.deepcopy(written)
    changed["Resources"][function]["Metadata"]["BuildProperties"]["Binary"] = other
    assert f"{function} runs {other}.zip" in policies.findings("template.yaml", translated(template=changed))


def test_a_policy_that_cannot_follow_a_template_is_a_finding():
    def reads_what_is_not_there(template):
        yield "the first"
        yield template["Resources"]["Gone"]

    (finding,) = policies.judge(reads_what_is_not_there, {"Resources": {}})
    assert finding == "cannot be judged by reads_what_is_not_there: KeyError('Gone')"


def test_a_missing_entry_of_the_runbook_is_noticed(template, tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    alarms = list(policies.alarms(template))
    (tmp_path / "docs/runbook.md").write_text("".join(f"## {name}\n\ntext\n" for name in alarms[1:]))
    assert list(policies.the_runbook_has_an_entry_for_each_alarm(template)) == [
        f"docs/runbook.md does not know {alarms[0]}"
    ]
    with (tmp_path / "docs/runbook.md").open("a") as runbook:
        runbook.write(f"## {alarms[0]}\n")
    assert list(policies.the_runbook_has_an_entry_for_each_alarm(template)) == []


def test_the_metrics_of_the_collector_are_found():
    runs = {"RunsCompleted", "RunsPartial", "RunsFailed"}
    assert runs | {"DataFreshness", "RateLimitPercent", "TokenDaysLeft", "DatabaseQueryDuration"} <= policies.emitted()
