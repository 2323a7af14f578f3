"""The template keeps its policies, and each policy finds what it is there to find."""

import copy

import policies
import pytest


def properties(template, name):
    return template["Resources"][name]["Properties"]


def named(template, kind):
    """The name of the only resource of a type."""
    (name,) = policies.of_type(template, kind)
    return name


def body(template):
    return properties(template, "Gateway")["Body"]


def operation(template):
    return body(template)["paths"]["/{proxy+}"]["get"]


def responses(template):
    return body(template)["x-amazon-apigateway-gateway-responses"]


def stage(template):
    return properties(template, named(template, "ApiGateway::Stage"))


def kept_out(template):
    return properties(template, "Gateway")["Policy"]["Fn::If"][1]["Statement"]


def published(template):
    return properties(template, "TopicPolicy")["PolicyDocument"]["Statement"][0]


def rollout(template):
    return properties(template, named(template, "CodeDeploy::DeploymentGroup"))


def log_format(template):
    return stage(template)["AccessLogSetting"]["Fn::If"][1]["Format"]


def variables(template, function="Collector"):
    return properties(template, function)["Environment"]["Variables"]


def statement(template, role, action):
    for name, it in policies.statements(template):
        if name == role and action in policies.listed(it["Action"]):
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


def forbid_sending(template):
    for name, it in policies.statements(template):
        if name == "CollectorRole" and "sqs:SendMessage" in policies.listed(it["Action"]):
            it["Action"] = ["sqs:ReceiveMessage"]


def replace_in_dashboard(template, old, new):
    text = properties(template, "Dashboard")["DashboardBody"]["Fn::Sub"]
    assert old in text[0]
    text[0] = text[0].replace(old, new)


# What each policy must notice.
BREAKS = {
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
        "default": put("Work/Properties/VisibilityTimeout", None),
    },
    "batches_fail_partially": {"all or nothing": put("CollectorWork/Properties/FunctionResponseTypes", None)},
    "a_worker_takes_one_repository_at_a_time": {
        "five": put("CollectorWork/Properties/BatchSize", 5),
        "default": put("CollectorChanges/Properties/BatchSize", None),
    },
    "work_is_bounded": {
        "unbounded": put("CollectorWork/Properties/ScalingConfig", None),
        "throttled": put("Collector/Properties/ReservedConcurrentExecutions", 2),
    },
    "unfinished_work_may_come_back": {
        "stopped": put("Collector/Properties/RecursiveLoop", "Terminate"),
        "default": put("Collector/Properties/RecursiveLoop", None),
    },
    "failures_land_somewhere": {
        "queue": put("Work/Properties/RedrivePolicy", None),
        "endless receives": lambda t: properties(t, "Work")["RedrivePolicy"].update(maxReceiveCount=1000),
        "schedule": put("CollectorSchedule/Properties/Target/DeadLetterConfig", None),
        "schedule tried once": put("CollectorSchedule/Properties/Target/RetryPolicy", None),
        "schedule's role": lambda t: properties(t, "CollectorScheduleRole")["Policies"].pop(),
        "schedule cannot invoke": lambda t: properties(t, "CollectorScheduleRole")["Policies"].pop(0),
        "asynchronous": put("CollectorEventInvokeConfig/Properties/DestinationConfig", None),
        "no asynchronous settings": lambda t: t["Resources"].pop("CollectorEventInvokeConfig"),
        "function's role": forbid_sending,
        "forgetful": put("DeadLetters/Properties/MessageRetentionPeriod", None),
        "unwatched": lambda t: t["Resources"].pop("DeadLettersWaiting"),
    },
    "collections_run_as_often_as_asked": {
        "fixed": put("CollectorSchedule/Properties/ScheduleExpression", "rate(4 hours)"),
        "one hours": lambda t: t["Mappings"]["Cadence"]["1"].update(Schedule="rate(1 hours)"),
        "another value": lambda t: t["Parameters"]["CollectEvery"]["AllowedValues"].append("6"),
        "not told": lambda t: variables(t, "Api").pop("COLLECT_EVERY_HOURS"),
        "disabled": put("CollectorSchedule/Properties/State", "DISABLED"),
        "gone": lambda t: t["Resources"].pop("CollectorSchedule"),
    },
    "alarms_follow_the_cadence": {
        "fixed": put("RunMissing/Properties/EvaluationPeriods", 9),
        "wrong in the map": lambda t: t["Mappings"]["Cadence"]["8"].update(StaleHours=24),
        "a period": put("RateLimitLow/Properties/Period", 14400),
        "stale elsewhere": put("DataStale/Properties/Threshold", {"Ref": "StaleAfterHours"}),
        "too late": put("WorkWaiting/Properties/Threshold", 32400000),
    },
    "everything_is_encrypted_with_the_given_key": {
        "plain": put("Work/Properties/SqsManagedSseEnabled", False),
        "a queue": put("MissedRuns/Properties/KmsMasterKeyId", None),
        "a log": put("AccessLog/Properties/KmsKeyId", None),
        "a secret": put("GitHubSecret/Properties/KmsKeyId", "alias/aws/secretsmanager"),
        "settings": put("Api/Properties/KmsKeyArn", None),
        "not allowed": lambda t: properties(t, "CollectorScheduleRole")["Policies"][1]["PolicyDocument"]["Statement"].pop(),
    },
    "logs_end": {
        "forever": put("ApiLogs/Properties/RetentionInDays", None),
        "access log": put("AccessLog/Properties/RetentionInDays", None),
        "Lambda's own": put("Api/Properties/LoggingConfig", None),
    },
    "secrets_are_empty_and_kept": {
        "value": put("GitHubSecret/Properties/SecretString", "x"),
        "deleted": put("DatabaseSecret/DeletionPolicy", "Delete"),
        "left behind": put("GitHubSecret/DeletionPolicy", "Retain"),
        "replaced": put("DatabaseSecret/UpdateReplacePolicy", None),
        "variable": lambda t: variables(t).update(GITHUB_PAT="x"),
        "resolved": lambda t: variables(t).update(DB_URL_SECRET_ARN="{{resolve:secretsmanager:x}}"),
        "token": lambda t: t["Parameters"]["GitHubAppId"].update(Default="ghp_" + "a" * 36),
        "database": lambda t: t["Metadata"].update(Url="postgres://me:hunter2@db/m"),
    },
    "secrets_are_named_after_the_stack": {
        "by CloudFormation": put("GitHubSecret/Properties/Name", None),
        "no slash": put("DatabaseSecret/Properties/Name", {"Fn::Sub": "${AWS::StackName}-database"}),
    },
    "roles_are_narrow": {
        "any resource": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue").update(Resource="*"),
        "any queue": lambda t: statement(t, "CollectorRole", "sqs:ReceiveMessage").update(Resource="arn:aws:sqs:*:*:*"),
        "any action": lambda t: statement(t, "CollectorRole", "sqs:ReceiveMessage").update(Action=["sqs:*"]),
        "anybody's metrics": lambda t: statement(t, "CollectorRole", "cloudwatch:PutMetricData").pop("Condition"),
        "administrator": put("ApiRole/Properties/ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
        "AWS's policy": lambda t: properties(t, "ApiRole")["ManagedPolicyArns"].append(
            {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole"}
        ),
        "shared": put("Api/Properties/Role", {"Fn::GetAtt": ["CollectorRole", "Arn"]}),
        "no boundary": put("CollectorScheduleRole/Properties/PermissionsBoundary", None),
    },
    "functions_may_read_their_secrets": {
        "not allowed": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue")["Resource"].pop(),
        "without need": lambda t: statement(t, "ApiRole", "secretsmanager:GetSecretValue")["Resource"].append(
            {"Ref": "GitHubSecret"}
        ),
    },
    "every_request_needs_a_key": {
        "open": lambda t: operation(t).pop("security"),
        "other header": lambda t: body(t)["components"]["securitySchemes"]["api_key"].update(name="key"),
        "writing": lambda t: body(t)["paths"]["/"].update(post=copy.deepcopy(operation(t))),
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
        "the page with a key": lambda t: body(t)["paths"]["/app/{proxy+}"]["get"].update(security=[{"api_key": []}]),
        "data without a key": lambda t: body(t)["paths"]["/{proxy+}"]["get"].pop("security"),
    },
    "every_path_is_bounded": {
        "keys without a limit": lambda t: stage(t)["MethodSettings"][1].pop("ThrottlingRateLimit"),
        "a path without a limit": lambda t: stage(t)["MethodSettings"].pop(2),
        "an unbounded page": lambda t: stage(t)["MethodSettings"][5].pop("ThrottlingBurstLimit"),
        "sessions without a provider": lambda t: stage(t)["MethodSettings"][11].update(ThrottlingRateLimit=20),
        "a path spelled otherwise": lambda t: stage(t)["MethodSettings"][7].update(ResourcePath="/app/{proxy+}"),
        "unbounded": lambda t: stage(t).pop("MethodSettings"),
        "open without secrets": lambda t: stage(t)["MethodSettings"][0].update(ThrottlingRateLimit=100),
    },
    "networks_and_endpoints_are_kept_out": {
        "no policy": put("Gateway/Properties/Policy", None),
        "webhooks everywhere": lambda t: kept_out(t).pop(),
        "allowed, not denied": lambda t: kept_out(t)[2]["Fn::If"][1].update(Effect="Allow"),
        "webhooks too": lambda t: kept_out(t)[2]["Fn::If"][1].update(Resource="execute-api:/*", NotResource=None),
        "nobody": lambda t: kept_out(t)[0].update(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        "not deployed": lambda t: t["Resources"].update(
            {
                name: {"Type": "AWS::ApiGateway::Deployment", "Properties": {}}
                for name in policies.of_type(policies.translated(second=86400), "ApiGateway::Deployment")
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
        "no throttle": put("UsagePlan/Properties/Throttle", None),
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


@pytest.mark.parametrize("policy", policies.POLICIES, ids=lambda policy: policy.__name__)
def test_the_template_keeps_the_policy(policy, template):
    assert list(policy(template)) == []


@pytest.mark.parametrize(
    ("policy", "change"),
    [
        pytest.param(policy, change, id=f"{policy.__name__}: {what}")
        for policy in policies.POLICIES
        for what, change in BREAKS.get(policy.__name__, {}).items()
    ],
)
def test_the_policy_notices(policy, change, template):
    broken = copy.deepcopy(template)
    change(broken)
    assert list(policy(broken)) != []


def test_every_policy_was_seen_to_notice_something():
    # The runbook's is tried on a text of its own.
    tried = set(BREAKS) | {"the_runbook_has_an_entry_for_each_alarm"}
    assert {policy.__name__ for policy in policies.POLICIES} == tried


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
