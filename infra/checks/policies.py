"""What must hold for the templates, beyond what linters know.

Each policy is a function that takes a template and yields what is wrong with it. `POLICIES` lists those of
template.yaml as CloudFormation sees it, and `JUDGED` those of every template. A policy may assume that a template is
whole: `judge` reports one that is not.
"""

import json
import re
from functools import cache

import access
import budget
import database
import limits
import network
from nodes import (
    branches,
    listed,
    names_in,
    of_type,
    properties,
    target,
    texts,
    where,
    written,
)
from translate import ROOT, translated

NAMESPACE = {"Fn::Sub": "Mergeline/${AWS::StackName}"}

# Metrics of AWS that are used here, and the dimensions with which they exist.
AWS_METRICS = (
    {("AWS/ApiGateway", name): {"ApiName", "Stage"} for name in ("4XXError", "5XXError", "Count", "Latency")}
    | {("AWS/Lambda", name): {"FunctionName"} for name in ("Duration", "Errors", "Invocations", "Throttles")}
    | {
        ("AWS/RDS", name): {"DBInstanceIdentifier"}
        for name in ("CPUCreditBalance", "DatabaseConnections", "FreeStorageSpace")
    }
    | {
        ("AWS/SQS", name): {"QueueName"}
        for name in (
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
        )
    }
)

# What somebody has to know, and by which alarm.
ALARMS = {
    "no run in nine hours": "NoRunCompleted",
    "a run that failed": "RunFailed",
    "partial three times": "RunsPartial",
    "old data": "DataStale",
    "unreadable pull requests": "PullRequestsQuarantined",
    "a refused token": "TokenRefused",
    "a token that ends": "TokenExpires",
    "a used up limit": "RateLimitLow",
    "dead letters": "DeadLettersWaiting",
    "missed runs": "MissedRunsWaiting",
    "changes that stay unread": "ChangesUnread",
    "channels that are not sent to": "MessagesUnread",
    "messages that were not sent": "MessagesFailed",
    "refused webhooks": "WebhooksRefused",
    "webhooks that do not come": "ChangesUnannounced",
    "errors of the collector": "CollectorFailing",
    "a collector that hangs": "CollectorNearTimeout",
    "a worker without memory": "CollectorOutOfMemory",
    "work that waits": "WorkWaiting",
    "errors of the API's function": "ApiCrashing",
    "5xx": "ApiFailing",
    "slow answers": "ApiSlow",
    "429": "ApiLimited",
    "throttled functions": "FunctionsThrottled",
    "functions without end": "InvocationsHigh",
    "connections": "DatabaseConnections",
    "a full disk": "DatabaseStorage",
    "a database without credits": "DatabaseCredits",
}

# Alarms that nobody is woken for: collection and API go on meanwhile, only less well, and nothing is lost.
CAN_WAIT = {
    "RunsPartial",
    "DataStale",
    "DeadLettersWaiting",
    "CollectorOutOfMemory",
    "WorkWaiting",
    "DatabaseCredits",
    "ChangesUnread",
    "MessagesUnread",
    "MessagesFailed",
    "WebhooksRefused",
    "ChangesUnannounced",
    "PullRequestsQuarantined",
    "TokenExpires",
    "RateLimitLow",
    "ApiSlow",
    "ApiLimited",
    "InvocationsHigh",
}

# Parts of NoRunCompleted, which nobody hears of alone.
PARTS = {"RunMissing", "FirstRunCompleted"}

# What a stack to develop with has: whether the collector and the API fail at all, counted by AWS for free.
MINIMAL = {"CollectorFailing", "ApiFailing"}
# The only policy of AWS: what API Gateway does with one role for all APIs of the account.
ACCESS_LOGS_POLICY = {
    "Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
}

# Codes of the API's own errors for what the gateway refuses by itself.
GATEWAY_ERRORS = {
    "INVALID_API_KEY": ("forbidden", "403"),
    "ACCESS_DENIED": ("forbidden", "403"),
    "INVALID_SIGNATURE": ("forbidden", "403"),
    "EXPIRED_TOKEN": ("forbidden", "403"),
    "MISSING_AUTHENTICATION_TOKEN": ("method_not_allowed", "405"),
    "THROTTLED": ("too_many_requests", "429"),
    "QUOTA_EXCEEDED": ("too_many_requests", "429"),
    "BAD_REQUEST_PARAMETERS": ("validation_error", "400"),
    "INTEGRATION_FAILURE": ("unavailable", "503"),
    "INTEGRATION_TIMEOUT": ("timeout", "504"),
    "DEFAULT_4XX": ("bad_request", None),
    "DEFAULT_5XX": ("internal_error", None),
}
# Of a request without a signature, where one is needed.
UNSIGNED = {"MISSING_AUTHENTICATION_TOKEN": ("forbidden", "403")}


def for_cadence(template, node, every):
    """A node with what its map says for a CollectEvery."""
    if isinstance(node, dict):
        found = node.get("Fn::FindInMap")
        if found and found[:2] == ["Cadence", {"Ref": "CollectEvery"}]:
            return template["Mappings"]["Cadence"][every][found[2]]
        return {key: for_cadence(template, value, every) for key, value in node.items()}
    return [for_cadence(template, value, every) for value in node] if isinstance(node, list) else node


# --- functions

# The migrator is the collector's program with the owner's login.
PROGRAMS = {"Collector": "collector", "Migrator": "collector", "Api": "api"}


def functions_run_their_program(template):
    for name, function in properties(template, "Lambda::Function").items():
        if name not in PROGRAMS:
            yield f"nobody said which program {name} runs"
        elif (key := function["Code"].get("S3Key")) != f"{PROGRAMS[name]}.zip":
            yield f"{name} runs {key}"


def functions_run_on_arm(template):
    for name, function in properties(template, "Lambda::Function").items():
        if function.get("Architectures") != ["arm64"]:
            yield f"{name} runs on {function.get('Architectures', ['x86_64'])}"
        if function.get("Runtime") != "provided.al2023":
            yield f"{name} runs on {function.get('Runtime')}"
    for name, layer in properties(template, "Lambda::LayerVersion").items():
        if layer.get("CompatibleArchitectures") != ["arm64"]:
            yield f"{name} is not for arm64"


def functions_end_in_time(template):
    functions = properties(template, "Lambda::Function")
    if functions["Collector"].get("Timeout", 3) != 900:
        yield "the collector does not have Lambda's fifteen minutes"
    longest = template["Parameters"]["RequestTimeoutSeconds"]["MaxValue"]
    timeout = functions["Api"].get("Timeout", 3)
    if timeout > 29:
        yield "the API works on after the gateway gave up"
    if timeout <= longest:
        yield "the API is ended by Lambda before it gives up by itself"
    if target(functions["Api"]["Environment"]["Variables"].get("REQUEST_TIMEOUT_SECONDS")) != "RequestTimeoutSeconds":
        yield "the API does not know how long a request may take"


def traces_are_sent_only_where_they_are_wanted(template):
    for name, function in properties(template, "Lambda::Function").items():
        if function.get("TracingConfig", {}).get("Mode") != {"Fn::If": ["HasTracing", "Active", "PassThrough"]}:
            yield f"{name} does not follow Tracing"
    for name, stage in properties(template, "ApiGateway::Stage").items():
        if stage.get("TracingEnabled") != {"Fn::If": ["HasTracing", True, False]}:
            yield f"{name} does not follow Tracing"
    for name, role in properties(template, "IAM::Role").items():
        for policy in listed(role.get("Policies", [])):
            for statement in policy["PolicyDocument"]["Statement"]:
                if "xray:" in str(statement) and statement.get("Fn::If", [None])[0] != "HasTracing":
                    yield f"{name} may always send traces"
    if template["Parameters"]["Tracing"]["Default"] != "none":
        yield "traces are sent, and paid, by default"


def variables_are_known(template):
    """A variable with a slip in its name is ignored by the program, silently."""
    for name, function in properties(template, "Lambda::Function").items():
        for variable in function["Environment"]["Variables"]:
            if variable not in variables_read():
                yield f"{name}: no program reads {variable}"


@cache
def variables_read():
    """What looks like a variable in a program, and, first, PostgreSQL's own, which sqlx reads."""
    sources = (path.read_text() for path in (ROOT / "crates").glob("*/src/**/*.rs"))
    known = {"PGSSLROOTCERT"}
    return known.union(*(re.findall(r'"([A-Z][A-Z0-9_]+)"', text) for text in sources))


def functions_may_join_a_network(template):
    for name, function in properties(template, "Lambda::Function").items():
        config = function.get("VpcConfig", {})
        condition = config.get("Fn::If", [None])[0]
        inside = branches(config)
        if condition != "IsInVpc" or len(inside) != 1:
            yield f"{name} is not put into the given network"
            continue
        if [target(inside[0][key]) for key in ("SubnetIds", "SecurityGroupIds")] != ["SubnetIds", "SecurityGroupIds"]:
            yield f"{name} is put into another network"
        role = template["Resources"][target(function["Role"])]["Properties"]
        if "NetworkPolicy" not in map(target, listed(role.get("ManagedPolicyArns", []))):
            yield f"{name} may not have network interfaces"


def both_functions_see_the_layer(template):
    layer = next(iter(of_type(template, "Lambda::LayerVersion")))
    for name, function in properties(template, "Lambda::Function").items():
        if layer not in map(target, function.get("Layers", [])):
            yield f"{name} does not see infra/config"


# --- what happens to failures


def messages_are_hidden_long_enough(template):
    functions, queues = properties(template, "Lambda::Function"), properties(template, "SQS::Queue")
    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        timeout = functions[target(mapping["FunctionName"])].get("Timeout", 3)
        hidden = queues[target(mapping["EventSourceArn"])].get("VisibilityTimeout", 30)
        if hidden < 6 * timeout + mapping.get("MaximumBatchingWindowInSeconds", 0):
            yield f"{name}: a message comes back after {hidden} s, the function takes up to {timeout} s"


def batches_fail_partially(template):
    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        if "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield f"{name}: one bad message fails its batch"


def a_worker_takes_one_repository_at_a_time(template):
    """One that dies, out of memory or out of time, sends back everything in its batch."""
    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        if mapping.get("BatchSize", 10) != 1:
            yield f"{name}: a worker that dies takes others' work with it"


def workers_are_not_refused(template):
    """Workers are bounded where messages are taken: what Lambda refuses has used up a receive."""
    functions = properties(template, "Lambda::Function")
    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        if "ReservedConcurrentExecutions" in functions[target(mapping["FunctionName"])]:
            yield f"{name}: messages that are refused use up their receives"


def unfinished_work_may_come_back(template):
    """Lambda stops what goes through a queue and back to the same function some 16 times, unless that is allowed."""
    functions = properties(template, "Lambda::Function")
    for mapping in properties(template, "Lambda::EventSourceMapping").values():
        name = target(mapping["FunctionName"])
        if functions[name].get("RecursiveLoop") != "Allow":
            yield f"{name}: work that is put back into its queue again and again is thrown away"


def failures_land_somewhere(template):
    queues = properties(template, "SQS::Queue")
    landings = set()

    def landing(what, arn):
        queue = target(arn) if arn else None
        if queue not in queues:
            yield f"{what}: failures are lost"
            return
        landings.add(queue)

    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        redrive = queues[target(mapping["EventSourceArn"])].get("RedrivePolicy", {})
        yield from landing(name, redrive.get("deadLetterTargetArn"))
    invoked = properties(template, "Lambda::EventInvokeConfig").values()
    for name, schedule in properties(template, "Scheduler::Schedule").items():
        aim = schedule["Target"]
        function = target(aim["Arn"])
        yield from landing(name, aim.get("DeadLetterConfig", {}).get("Arn"))
        # The schedule's invocation is asynchronous: Lambda has taken the event before the function fails.
        configs = [config for config in invoked if target(config["FunctionName"]) == function]
        failure = configs[0].get("DestinationConfig", {}).get("OnFailure", {}) if configs else {}
        yield from landing(f"{function}, invoked by {name}", failure.get("Destination"))
    watched = {
        target(dimension["Value"])
        for alarm in properties(template, "CloudWatch::Alarm").values()
        for dimension in alarm.get("Dimensions", [])
        if dimension["Name"] == "QueueName"
    }
    for queue in landings:
        if queues[queue].get("MessageRetentionPeriod", 345600) < 1209600:
            yield f"{queue} does not keep its messages for two weeks"
        if queue not in watched:
            yield f"nobody hears of messages in {queue}"


def collections_run_as_often_as_asked(template):
    schedules = {
        name: schedule
        for name, schedule in properties(template, "Scheduler::Schedule").items()
        if "Input" not in schedule["Target"]
    }
    if len(schedules) != 1:
        yield f"{len(schedules)} schedules of collections"
    cadence = template["Mappings"]["Cadence"]
    if list(cadence) != template["Parameters"]["CollectEvery"]["AllowedValues"]:
        yield f"what follows from {list(cadence)} hours is known, not from others"
    for name, schedule in schedules.items():
        for every in cadence:
            # AWS refuses `1 hours`.
            wanted = f"rate({every} hour{'s' if every != '1' else ''})"
            if for_cadence(template, schedule["ScheduleExpression"], every) != wanted:
                yield f"{name} does not run every {every} hours"
        if schedule.get("State", "ENABLED") != "ENABLED":
            yield f"{name} does not run"
    for name, function in properties(template, "Lambda::Function").items():
        if function["Environment"]["Variables"].get("COLLECT_EVERY_HOURS") != {"Ref": "CollectEvery"}:
            yield f"{name} does not know when data is stale"


def messages_are_looked_for_where_there_are_channels(template):
    looks = {
        name: schedule
        for name, schedule in properties(template, "Scheduler::Schedule").items()
        if "Input" in schedule["Target"]
    }
    if len(looks) != 1:
        yield f"{len(looks)} schedules of messages"
    for name, schedule in looks.items():
        if schedule["ScheduleExpression"] != "rate(15 minutes)" or schedule.get("State", "ENABLED") != "ENABLED":
            yield f"{name} does not look every quarter of an hour"
        if schedule["Target"]["Input"] != '{"action":"notify"}':
            yield f"{name} asks for {written(schedule['Target']['Input'])}"
        if template["Resources"][name].get("Condition") != "HasChannels":
            yield f"{name} looks also where there are no channels"


def alarms_follow_the_cadence(template):
    """Stale is twice CollectEvery and an hour, everywhere. Runs may be some minutes early or late."""
    longest = max(it["StaleHours"] for it in template["Mappings"]["Cadence"].values())
    if template["Parameters"]["StaleAfterHours"]["MaxValue"] < longest:
        yield "StaleAfterHours cannot be later than it is without"
    for every in template["Mappings"]["Cadence"]:
        hours = int(every)
        found = for_cadence(template, properties(template, "CloudWatch::Alarm"), every)
        stale = found["DataStale"]["Threshold"]
        if stale != {"Fn::If": ["HasStaleAfter", {"Ref": "StaleAfterHours"}, 2 * hours + 1]}:
            yield f"every {every} hours: DataStale waits for {stale}"
        for name, key, wanted in (
            ("RunMissing", "EvaluationPeriods", 2 * hours + 1),
            ("RunFailed", "EvaluationPeriods", hours + 1),
            ("RunsPartial", "EvaluationPeriods", 3 * hours + 1),
            ("WorkWaiting", "Threshold", (2 * hours + 1) * 3600),
        ):
            if found[name][key] != wanted:
                yield f"every {every} hours: {key} of {name} is {found[name][key]}"
        for name in ("DataStale", "PullRequestsQuarantined", "RateLimitLow"):
            if [period for *_, period in queries(found[name])] != [hours * 3600]:
                yield f"every {every} hours: {name} looks at other hours than those of a run"


# --- what is kept, and for whom


def everything_is_encrypted_with_the_given_key(template):
    given = {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}
    for kind, key in (
        ("Lambda::Function", "KmsKeyArn"),
        ("Logs::LogGroup", "KmsKeyId"),
        ("SecretsManager::Secret", "KmsKeyId"),
        ("SNS::Topic", "KmsMasterKeyId"),
        ("SQS::Queue", "KmsMasterKeyId"),
    ):
        for name, facts in properties(template, kind).items():
            if facts.get(key) != given:
                yield f"{name} is not encrypted with KmsKeyArn"
    for name, queue in properties(template, "SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") != {"Fn::If": ["HasKey", {"Ref": "AWS::NoValue"}, True]}:
            yield f"{name} is not encrypted without a key"
    # What sends to a queue, or reads one or a secret, uses the key.
    using = {"sqs:SendMessage", "sqs:ReceiveMessage", "secretsmanager:GetSecretValue"}
    for name, role in properties(template, "IAM::Role").items():
        found = [it for policy in listed(role.get("Policies", [])) for it in policy["PolicyDocument"]["Statement"]]
        actions = {action for it in listed(found) for action in listed(it["Action"])}
        keyed = [it["Fn::If"][1] for it in found if it.get("Fn::If", [None])[0] == "HasKey"]
        allowed = {action for it in keyed if it["Resource"] == {"Ref": "KmsKeyArn"} for action in listed(it["Action"])}
        if actions & using and allowed != {"kms:Decrypt", "kms:GenerateDataKey"}:
            yield f"{name} may not use the key"


def functions_log_to_our_groups(template):
    groups = properties(template, "Logs::LogGroup")
    for name, function in properties(template, "Lambda::Function").items():
        # Otherwise Lambda makes one that is kept forever.
        if target(function.get("LoggingConfig", {}).get("LogGroup", {})) not in groups:
            yield f"{name} logs to a group that is not ours"


def secrets_are_empty(template):
    for name, secret in of_type(template, "SecretsManager::Secret").items():
        if {"SecretString", "GenerateSecretString"} & set(secret["Properties"]):
            yield f"{name} has a value"
    values = {"DB_URL", "GITHUB_PAT", "GITHUB_APP_PRIVATE_KEY", "API_KEY", "API_KEYS"}
    for name, function in properties(template, "Lambda::Function").items():
        for variable in values & set(function["Environment"]["Variables"]):
            yield f"{name} has the value of {variable}"
    looks_secret = re.compile(
        r"resolve:secretsmanager|ghp_\w{20}|github_pat_\w{20}|AKIA[A-Z0-9]{16}|PRIVATE KEY-----"
        r"|postgres(ql)?://(?!user:password@)[^/\s]*:[^/\s]*@"
    )
    for found in looks_secret.finditer(json.dumps(template)):
        yield f"looks like a secret: {found[0][:20]}…"


def secrets_are_named_after_the_stack(template):
    """With a slash: a permission for what begins with `mergeline-` would be one for the stack `mergeline-prod` too."""
    for name, secret in properties(template, "SecretsManager::Secret").items():
        if not re.fullmatch(r"\$\{AWS::StackName\}/[a-z-]+", secret.get("Name", {}).get("Fn::Sub", "")):
            yield f"{name} is not named after the stack"


def roles_are_each_for_one(template):
    """Nothing is shared, comes from elsewhere, or reaches beyond the boundary that is given."""
    for name, role in properties(template, "IAM::Role").items():
        for policy in listed(role.get("ManagedPolicyArns", [])):
            is_of_aws = policy == ACCESS_LOGS_POLICY and name == "ApiGatewayLogsRole"
            if target(policy) != "NetworkPolicy" and not is_of_aws:
                yield f"{name} has {policy}"
        if role.get("PermissionsBoundary", {}).get("Fn::If", [None])[0] != "HasBoundary":
            yield f"{name} has no boundary where one is given"
    roles = [target(function["Role"]) for function in properties(template, "Lambda::Function").values()]
    if len(set(roles)) != len(roles) or None in roles:
        yield "functions share a role"


# --- the API


# What a browser asks for without a key: files without data, and what the program checks a session for.
PAGE = ("/", "/app", "/app/{proxy+}")
# What a method calls: the alias of the API, by its name.
LIVE = {
    "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/arn:${AWS::Partition}"
    ":lambda:${AWS::Region}:${AWS::AccountId}:function:${AWS::StackName}-api:live/invocations"
}
# What a browser asks before a page of another site asks with a key. Answers to it hold no data.
PREFLIGHT = ("options", "/{proxy+}")
SESSION = {("get", "/app/api/{proxy+}"), ("head", "/app/api/{proxy+}"), ("post", "/app/logout")}


def held(*conditions):
    """Which of the conditions about ways to ask hold."""
    known = ("AsksForKey", "AsksForSignature", "AsksForToken", "HasPage", "HasPageBesideSignatures")
    return {name: name in conditions for name in known}


# The ways to ask: what holds then, what a request for data shows to the gateway, and whether there is a page. Tokens are checked by
# the program.
KEY = {"type": "apiKey", "name": "x-api-key", "in": "header"}
SIGNATURE = {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}
AUTHORIZERS = {
    "key": (held("AsksForKey", "HasPage"), KEY, True),
    "iam": (held("AsksForSignature"), SIGNATURE, False),
    "iam, with a login": (held("AsksForSignature", "HasPage", "HasPageBesideSignatures"), SIGNATURE, True),
    "jwt": (held("AsksForToken"), None, False),
    "jwt, with a login": (held("AsksForToken", "HasPage"), None, True),
}


def every_request_shows_who_asks(template):
    for name, api in properties(template, "ApiGateway::RestApi").items():
        for way, (holds, wanted, has_page) in AUTHORIZERS.items():
            for problem in requests_that_show_something_else(where(api["Body"], holds), wanted, has_page):
                yield f"{name}, {way}: {problem}"
    allowed = {
        permission["SourceArn"]["Fn::Sub"][0].split("/${__Stage__}/")[1]
        for permission in properties(template, "Lambda::Permission").values()
    }
    if allowed != {"GET/", "HEAD/", "GET/*", "HEAD/*", "POST/*", "PUT/*", "OPTIONS/*", "POST/webhook/*"}:
        yield f"the gateway may invoke {sorted(allowed)}"
    facts = template["Conditions"]
    if [facts[name] for name in ("AsksForKey", "AsksForSignature", "AsksForToken")] != [
        {"Fn::Equals": [{"Ref": "Authorizer"}, way]} for way in template["Parameters"]["Authorizer"]["AllowedValues"]
    ]:
        yield "an Authorizer asks for something that nobody thought of"
    if facts["HasPage"] != {"Fn::Or": [{"Condition": "AsksForKey"}, {"Condition": "HasLogin"}]}:
        yield "there is a page that nobody can log in to"
    # The gateway checks nothing of a token: the program has to know that it must, and for whom tokens are.
    variables = properties(template, "Lambda::Function")["Api"]["Environment"]["Variables"]
    if variables.get("AUTHORIZER") != {"Ref": "Authorizer"}:
        yield "the program does not know that it checks tokens"
    if variables.get("JWT_AUDIENCE") != {"Fn::If": ["AsksForToken", {"Ref": "JwtAudience"}, {"Ref": "AWS::NoValue"}]}:
        yield "the program does not know for whom tokens are"


def requests_that_show_something_else(body, wanted, has_page):
    schemes = {name for name, facts in body["components"]["securitySchemes"].items() if facts == wanted}
    if not body["paths"]:
        yield "no paths"
    if has_page != any(path in PAGE for path in body["paths"]):
        yield f"there is {'no' if has_page else 'a'} page"
    for path, methods in body["paths"].items():
        for method, operation in methods.items():
            # Webhooks have signatures, which the program checks. The page's files hold no data.
            is_webhook = (path, method) == ("/webhook/{plugin}", "post")
            is_of_session = (method, path) in SESSION
            is_preflight = (method, path) == PREFLIGHT
            is_open = is_webhook or is_of_session or is_preflight or (path in PAGE and method in ("get", "head"))
            shown = [set(needed) for needed in operation.get("security", [])]
            is_unasked = is_open or wanted is None
            if is_unasked and shown or not is_unasked and (not shown or any(not schemes & needed for needed in shown)):
                yield f"{method} {path} asks for {shown or 'nothing'}"
            # Nothing is posted to the documentation.
            is_written = path == "/{proxy+}" and method in ("post", "put")
            is_reading = method in ("get", "head") or is_preflight
            if not (is_reading or is_written or is_webhook or is_of_session):
                yield f"{method} {path} is offered"
            validator = operation.get("x-amazon-apigateway-request-validator") or body.get(
                "x-amazon-apigateway-request-validator"
            )
            known = body.get("x-amazon-apigateway-request-validators", {}).get(validator, {})
            if not known.get("validateRequestParameters") or not known.get("validateRequestBody"):
                yield f"{method} {path} is not validated"
            if operation["x-amazon-apigateway-integration"]["uri"] != LIVE:
                yield f"{method} {path} leads elsewhere than to the alias live"


def requests_are_bounded(template):
    plans = properties(template, "ApiGateway::UsagePlan")
    stages = properties(template, "ApiGateway::Stage")
    for name, stage in stages.items():
        if stage["StageName"] != "v1":
            yield f"{name}: the program knows its paths below /v1"
        covering = [plan for plan in plans.values() if name in [target(at["Stage"]) for at in plan["ApiStages"]]]
        if not any(plan.get("Quota", {}).get("Period") == "MONTH" for plan in covering):
            yield f"{name}: a key is good for any number of requests a month"
    held = {
        (target(key["UsagePlanId"]), target(key["KeyId"]))
        for key in properties(template, "ApiGateway::UsagePlanKey").values()
    }
    for plan in plans:
        if not any(holder == plan for holder, _ in held):
            yield f"{plan} is for no key"


def every_path_is_bounded(template):
    """What needs no key is in no usage plan, and anyone may ask for it. Of keys there may be any number."""
    for name in ("ApiTotalRateLimit", "ApiTotalBurstLimit", "TokenRateLimit", "TokenBurstLimit"):
        if not 1 <= template["Parameters"][name]["MinValue"]:
            yield f"{name} may close the API"
    for holds, wanted, _ in AUTHORIZERS.values():
        offered = {
            (method.upper(), path)
            for api in properties(template, "ApiGateway::RestApi").values()
            for path, methods in where(api["Body"]["paths"], holds).items()
            for method in methods
        }
        for name, stage in properties(template, "ApiGateway::Stage").items():
            # CloudFormation's own spelling: the root is a slash, and every slash of another path is ~1 behind one more.
            settings = {
                (it["HttpMethod"], it["ResourcePath"].removeprefix("/").replace("~1", "/") or "/"): it
                for it in where(stage.get("MethodSettings", []), holds)
                if it["ResourcePath"] == "/" or it["ResourcePath"].startswith("/~1") and "/" not in it["ResourcePath"][1:]
            }
            if set(settings) != offered:
                yield f"{name}: any number may come of {sorted(offered ^ set(settings))}"
                continue
            yield from (f"{name}: {problem}" for problem in unbounded(settings, "ApiTotal" if wanted else "Token"))


def unbounded(settings, of_data):
    webhook = ("POST", "/webhook/{plugin}")
    page = {(method, path) for method in ("GET", "HEAD") for path in PAGE}
    session = {(method.upper(), path) for method, path in SESSION}
    preflight = (PREFLIGHT[0].upper(), PREFLIGHT[1])
    for place, it in settings.items():
        for key, most in (("ThrottlingRateLimit", 100), ("ThrottlingBurstLimit", 200)):
            limit = of_data + key.removeprefix("Throttling")
            if place not in page | session | {webhook, preflight} and it.get(key) != {"Ref": limit}:
                yield f"{place} has no {key}"
            if place == webhook and it.get(key) != {"Fn::If": ["HasWebhooks", most, 0]}:
                yield f"webhooks have no {key}, or their path is open where there are none"
            if place in page and not 0 < it.get(key, 0) <= most:
                yield f"{place} has no {key}"
            if place in session and it.get(key) not in [{"Fn::If": ["HasLogin", n, 0]} for n in range(1, most + 1)]:
                yield f"{place} has no {key}, or is open where nobody can log in"
            if place == preflight and it.get(key) not in [
                {"Fn::If": ["HasCorsOrigin", n, 0]} for n in range(1, most + 1)
            ]:
                yield f"{place} has no {key}, or is open where no page of another site may ask"


def allow(principal, resource):
    return {"Effect": "Allow", "Principal": principal, "Action": "execute-api:Invoke", "Resource": resource}


# What a resource policy allows. An Allow for everybody would stand in for the permission that an identity needs where requests are
# signed, and let in identities of other accounts: there it is for what needs no signature.
SIGNED = [allow({"AWS": {"Ref": "AWS::AccountId"}}, "execute-api:/*"), allow("*", "execute-api:/v1/POST/webhook/*")]
OF_PAGE = ("GET/", "HEAD/", "GET/app", "HEAD/app", "GET/app/*", "HEAD/app/*", "POST/app/logout")
ALLOWED = {
    **dict.fromkeys(("key", "jwt", "jwt, with a login"), [allow("*", "execute-api:/*")]),
    "iam": SIGNED,
    "iam, with a login": [*SIGNED, allow("*", [f"execute-api:/v1/{it}" for it in OF_PAGE])],
}


def networks_and_endpoints_are_kept_out(template):
    """What a resource policy takes away, it takes from everybody: an Allow alone would be one of several."""
    webhooks = "execute-api:/v1/POST/webhook/*"
    for name, api in properties(template, "ApiGateway::RestApi").items():
        policy = api.get("Policy", {}).get("Fn::If", [None, {}])
        if policy[0] != "HasResourcePolicy":
            yield f"{name} has no policy where networks are given"
            continue
        for way, (holds, _, _) in AUTHORIZERS.items():
            allowed = [it for it in where(policy[1]["Statement"], holds) if it.get("Effect") == "Allow"]
            if allowed != ALLOWED[way]:
                yield f"{name}, {way}: {written(allowed)} is allowed"
        denied = [it for it in where(policy[1]["Statement"], AUTHORIZERS["key"][0]) if it.get("Effect") != "Allow"]
        seen = set()
        for condition, statement, nothing in (it.get("Fn::If", [None, it, None]) for it in denied):
            seen.add(condition)
            if statement["Effect"] != "Deny" or "Condition" not in statement or nothing != {"Ref": "AWS::NoValue"}:
                yield f"{name}: {condition} keeps nobody out"
            place = {"HasWebhookCidrs": ("Resource", webhooks), "HasAllowedCidrs": ("NotResource", webhooks)}.get(
                condition, ("Resource", "execute-api:/*")
            )
            if statement.get(place[0]) != place[1]:
                yield f"{name}: {condition} is not about {place}"
        if seen != {"IsPrivate", "HasAllowedCidrs", "HasWebhookCidrs"}:
            yield f"{name} is kept from {sorted(map(str, seen))}"
    # A deployment shows the API as it was when it was made.
    if translated_deployment_is_stale(template):
        yield "a changed parameter of the API is not deployed"


def releases_go_live_in_steps(template):
    functions = properties(template, "Lambda::Function")
    aliases, versions = of_type(template, "Lambda::Alias"), properties(template, "Lambda::Version")
    if functions["Api"].get("FunctionName") != {"Fn::Sub": "${AWS::StackName}-api"}:
        yield "the gateway knows the API by another name"
    named = {(target(facts["FunctionName"]), facts["Name"]) for facts in properties(template, "Lambda::Alias").values()}
    if named != {("Api", "live")}:
        yield f"the aliases {sorted(aliases)}"
    for name, permission in properties(template, "Lambda::Permission").items():
        if target(permission["FunctionName"]) not in aliases:
            yield f"{name} lets the gateway call what was not published"
    # Queues and the schedule are worked off by what was deployed last.
    for name, mapping in properties(template, "Lambda::EventSourceMapping").items():
        if mapping["FunctionName"] != {"Ref": "Collector"}:
            yield f"{name} is worked off by an alias"
    for name, alias in aliases.items():
        steps = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
        group = properties(template, "CodeDeploy::DeploymentGroup").get(target(steps.get("DeploymentGroupName", {})))
        if not group:
            yield f"{name} moves at once"
            continue
        guards = {
            target(alarm["Name"])
            for choice in branches(group.get("AlarmConfiguration", {}))
            if choice.get("Enabled") is True
            for alarm in choice["Alarms"]
        }
        if guards != {"ApiCrashing", "ApiFailing"}:
            yield f"{name}: a bad version is stopped by {sorted(guards)}"
        back = group.get("AutoRollbackConfiguration", {})
        if back.get("Enabled") is not True or "DEPLOYMENT_STOP_ON_ALARM" not in back.get("Events", []):
            yield f"{name}: a bad version stays"
        # The transform puts the parameter's value in.
        steps = {"ConfigName": template["Parameters"]["ApiRollout"]["Default"]}
        if group["DeploymentConfigName"] != {"Fn::Sub": ["CodeDeployDefault.Lambda${ConfigName}", steps]}:
            yield f"{name} does not follow ApiRollout"
    # A version is what it was when published, parameters and layer included. CloudFormation makes another one when
    # its description changes, and Lambda only if the function changed too.
    deployments = set(of_type(template, "ApiGateway::Deployment"))
    for name, node in [*versions.items(), ("Api", functions["Api"])]:
        if not deployments & set(names_in(node.get("Description", {}))):
            yield f"{name} is the same after a deployment that changes a parameter"


def translated_deployment_is_stale(template):
    deployments = set(of_type(template, "ApiGateway::Deployment"))
    return bool(deployments & set(of_type(translated(second=86400), "ApiGateway::Deployment")))


def the_key_can_be_replaced(template):
    """Only another name makes CloudFormation make another key."""
    for name, key in properties(template, "ApiGateway::ApiKey").items():
        if "${ApiKeyVersion}" not in str(key.get("Name")):
            yield f"{name}: a key that leaked stays"


def there_is_one_stage(template):
    """SAM adds one of its own, unless it knows the version of OpenAPI."""
    stages = list(of_type(template, "ApiGateway::Stage"))
    for name, deployment in properties(template, "ApiGateway::Deployment").items():
        if "StageName" in deployment:
            stages.append(f"{deployment['StageName']} of {name}")
    if len(stages) != 1:
        yield f"the stages {stages}"


def the_gateway_speaks_like_the_program(template):
    for name, api in properties(template, "ApiGateway::RestApi").items():
        for holds, wanted, _ in AUTHORIZERS.values():
            responses = where(api["Body"].get("x-amazon-apigateway-gateway-responses", {}), holds)
            errors = GATEWAY_ERRORS | (UNSIGNED if wanted == SIGNATURE else {})
            yield from (f"{name}: {problem}" for problem in what_is_said_otherwise(responses, errors))


def what_is_said_otherwise(responses, errors):
    for missing in set(errors) - set(responses):
        yield f"{missing} is not in our form"
    for kind, response in responses.items():
        code, status = errors.get(kind, (None, None))
        try:
            error = json.loads(response["responseTemplates"]["application/json"])["error"]
        except (KeyError, ValueError):
            yield f"{kind} is not in our form"
            continue
        if list(error) != ["code", "message", "details", "trace_id"] or error["details"] != []:
            yield f"{kind} is not in our form"
        elif error["code"] != code or response.get("statusCode") != status:
            yield f"{kind} is {response.get('statusCode')} {error['code']}"
        elif error["trace_id"] != "$context.requestId":
            yield f"{kind} cannot be found again"
        headers = response.get("responseParameters", {})
        if status in ("429", "503") and not headers.get("gatewayresponse.header.Retry-After"):
            yield f"{kind} does not say when to come back"


def access_is_logged(template):
    for name, stage in properties(template, "ApiGateway::Stage").items():
        settings = branches(stage.get("AccessLogSetting", {"Ref": "AWS::NoValue"}))
        if len(settings) != 1 or target(settings[0]["DestinationArn"]) not in of_type(template, "Logs::LogGroup"):
            yield f"{name} writes no access log"
            continue
        form = settings[0]["Format"]
        try:
            line = json.loads(re.sub(r":\$context\.\w+", ":0", form))
        except ValueError:
            yield f"{name}: a line of the access log is no JSON"
            continue
        if line.get("request_id") != "$context.requestId" or "status" not in line:
            yield f"{name}: the access log lacks the request's id or status"
        for key in ("status", "milliseconds", "bytes"):
            if line.get(key) != 0:
                yield f"{name}: {key} is no number in the access log, and filters do not compare it"
        if "$context.integrationLatency" not in line.values():
            yield f"{name}: without quotes, a line for which the program was not asked is no JSON"
        if re.search(r"apiKey\b|querystring|authoriz|userArn", form):
            yield f"{name}: the access log tells too much"


# --- who hears of what


@cache
def emitted():
    """The metrics that the collector sends."""
    text = (ROOT / "crates/lambda/src/metrics.rs").read_text().split("#[cfg(test)]")[0]
    return {counted or named for counted, named in re.findall(r'count\("(\w+)"|\bname: "(\w+)"', text)}


def metric_problems(template, namespace, name, dimensions):
    """Why a metric does not exist."""
    if namespace == NAMESPACE or namespace == NAMESPACE["Fn::Sub"]:
        filtered = {
            change["MetricName"]
            for metric_filter in properties(template, "Logs::MetricFilter").values()
            for change in metric_filter["MetricTransformations"]
            if change["MetricNamespace"] == NAMESPACE
        }
        if name not in emitted() | filtered:
            yield f"nothing sends {name}"
        if dimensions:
            yield f"{name} has no dimensions"
    elif (namespace, name) not in AWS_METRICS:
        yield f"AWS has no {namespace} {name}, or it is not known here"
    elif set(dimensions) != AWS_METRICS[namespace, name]:
        yield f"{namespace} {name} has not the dimensions {sorted(dimensions)}"


def alarms(template):
    """Those that somebody hears of: on metrics, and composed of others."""
    heard = properties(template, "CloudWatch::Alarm") | properties(template, "CloudWatch::CompositeAlarm")
    return {name: alarm for name, alarm in heard.items() if name not in PARTS}


def queries(alarm):
    """The metrics that an alarm looks at: namespace, name, dimensions, period."""
    if "AlarmRule" in alarm:
        return []
    if "Metrics" not in alarm:
        return [(alarm.get("Namespace"), alarm.get("MetricName"), alarm.get("Dimensions", []), alarm.get("Period"))]
    stats = [query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query]
    return [
        (
            stat["Metric"]["Namespace"],
            stat["Metric"]["MetricName"],
            stat["Metric"].get("Dimensions", []),
            stat["Period"],
        )
        for stat in stats
    ]


# What a dimension's value must stand for.
DIMENSION_TYPES = {"FunctionName": "Lambda::Function", "QueueName": "SQS::Queue"}


def alarms_look_at_metrics_that_exist(template):
    for name, alarm in properties(template, "CloudWatch::Alarm").items():
        for namespace, metric, dimensions, _ in queries(alarm):
            for problem in metric_problems(template, namespace, metric, [it["Name"] for it in dimensions]):
                yield f"{name}: {problem}"
            for dimension in dimensions:
                kind = DIMENSION_TYPES.get(dimension["Name"])
                if kind and target(dimension["Value"]) not in of_type(template, kind):
                    yield f"{name}: {dimension['Name']} is none of ours"
                if dimension["Name"] == "ApiName" and dimension["Value"] not in [
                    api["Name"] for api in properties(template, "ApiGateway::RestApi").values()
                ]:
                    yield f"{name}: the API has another name"
        ids = {query["Id"] for query in alarm.get("Metrics", [])}
        for query in alarm.get("Metrics", []):
            used = set(re.findall(r"\b[a-z]\w*\b", query.get("Expression", "")))
            for unknown in used - ids:
                yield f"{name}: {unknown} in {query['Expression']} is unknown"
    variables = properties(template, "Lambda::Function")["Collector"]["Environment"]["Variables"]
    if variables.get("METRICS_NAMESPACE") != {"Fn::If": ["HasAlarms", NAMESPACE, {"Ref": "AWS::NoValue"}]}:
        yield "the collector sends its metrics elsewhere"


def alarms_can_ring(template):
    """What CloudWatch refuses, and what would never be heard."""
    topics = of_type(template, "SNS::Topic")
    for name, topic in topics.items():
        if "alias/aws/sns" in set(texts(topic)):
            yield f"{name}: CloudWatch cannot publish with AWS's own key"
    heard = alarms(template)
    for what, name in ALARMS.items():
        if name not in heard:
            yield f"nobody hears of {what}"
    for name, alarm in heard.items():
        if f"docs/runbook.md#{name.lower()}" not in alarm.get("AlarmDescription", ""):
            yield f"{name} does not say what to do"
        if not [action for action in alarm.get("AlarmActions", []) if target(action) in topics]:
            yield f"{name} is heard by nobody"
        if alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} is silent"
        if alarm.get("EvaluateLowSampleCountPercentile") == "ignore":
            yield f"{name} waits for a thousand requests in {alarm.get('Period')} s"
    on_metrics = [
        item
        for every in template["Mappings"]["Cadence"]
        for item in for_cadence(template, properties(template, "CloudWatch::Alarm"), every).items()
    ]
    for name, alarm in on_metrics:
        if "TreatMissingData" not in alarm:
            yield f"{name} does not say what missing data means"
        for _, _, _, period in queries(alarm):
            if period not in (10, 20, 30) and period % 60:
                yield f"{name}: CloudWatch has no period of {period} s"
            longest = 86400 if period < 3600 else 7 * 86400
            if period * alarm["EvaluationPeriods"] > longest:
                yield f"{name} looks back further than CloudWatch does"
        if alarm.get("DatapointsToAlarm", 1) > alarm["EvaluationPeriods"]:
            yield f"{name} waits for more than it looks at"
        if "Metrics" in alarm and sum(query.get("ReturnData", True) for query in alarm["Metrics"]) != 1:
            yield f"{name} has not one result"
    parts = properties(template, "CloudWatch::Alarm")
    if parts.get("RunMissing", {}).get("TreatMissingData") != "breaching":
        yield "silence counts as a completed run"
    if parts.get("FirstRunCompleted", {}).get("TreatMissingData") != "ignore":
        yield "silence makes a stack a new one"
    rule = heard.get("NoRunCompleted", {}).get("AlarmRule", {}).get("Fn::Sub")
    if rule != 'ALARM("${RunMissing}") AND ALARM("${FirstRunCompleted}")':
        yield "a stack without a first run wakes somebody, or one without runs nobody"


def little_is_watched_where_little_is_paid(template):
    composed = of_type(template, "CloudWatch::CompositeAlarm")
    for name, alarm in (of_type(template, "CloudWatch::Alarm") | composed).items():
        condition = alarm.get("Condition")
        if name in MINIMAL and condition:
            yield f"{name} is there only if {condition}"
        if name not in MINIMAL and condition != "HasAlarms" and not str(condition).startswith("AlarmsOf"):
            yield f"{name} is always there"
        for namespace, metric, _, _ in queries(alarm["Properties"]):
            if name in MINIMAL and not namespace.startswith("AWS/"):
                yield f"{name} looks at {metric}, which is not sent then"
    for name, metric_filter in of_type(template, "Logs::MetricFilter").items():
        condition = metric_filter.get("Condition", "")
        if condition != "HasAlarms" and not condition.startswith("AlarmsOf"):
            yield f"{name} always counts"
    if of_type(template, "CloudWatch::Dashboard").get("Dashboard", {}).get("Condition") != "HasDashboard":
        yield "there is always a dashboard"


def alarms_wake_somebody_or_wait(template):
    """Each goes to one topic, with its end too."""
    for name, alarm in alarms(template).items():
        topic = "NoticeTopic" if name in CAN_WAIT else "AlarmTopic"
        for key in ("AlarmActions", "OKActions"):
            if (topics := [target(action) for action in alarm.get(key, [])]) != [topic]:
                yield f"{name}: {key} go to {topics}, not to {topic}"
    for output, topic in (("AlarmTopicArn", "AlarmTopic"), ("NoticeTopicArn", "NoticeTopic")):
        if target(template["Outputs"].get(output, {}).get("Value")) != topic:
            yield f"{output} is not {topic}"
    subscribed = [subscription["TopicArn"] for subscription in properties(template, "SNS::Subscription").values()]
    if sorted(map(target, subscribed)) != ["AlarmTopic", "NoticeTopic"]:
        yield "AlarmEmail hears of some alarms only"


def only_alarms_publish(template):
    """Of this account, and to our topics: SNS's own policy lets in more."""
    topics, covered = set(of_type(template, "SNS::Topic")), set()
    for name, policy in properties(template, "SNS::TopicPolicy").items():
        covered |= set(map(target, policy["Topics"]))
        for statement in listed(policy["PolicyDocument"]["Statement"]):
            if statement.get("Principal") != {"Service": "cloudwatch.amazonaws.com"}:
                yield f"{name} lets {statement.get('Principal')} publish"
            if listed(statement["Action"]) != ["sns:Publish"] or statement["Effect"] != "Allow":
                yield f"{name} allows {statement['Action']}"
            account = statement.get("Condition", {}).get("StringEquals", {}).get("aws:SourceAccount")
            if account != {"Ref": "AWS::AccountId"}:
                yield f"{name} lets other accounts publish"
    for topic in topics - covered:
        yield f"{topic} has SNS's own policy"


def the_runbook_has_an_entry_for_each_alarm(template):
    runbook = ROOT / "docs/runbook.md"
    if not runbook.exists():
        return
    headings = re.findall(r"^#+ +`?([\w ]+?)`?$", runbook.read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for name in alarms(template):
        if name.lower() not in anchors:
            yield f"docs/runbook.md does not know {name}"


def dashboard(template, name="Dashboard"):
    """A dashboard's body as JSON, with everything that is conditional, and names in place of values."""
    text, given = template["Resources"][name]["Properties"]["DashboardBody"]["Fn::Sub"]
    for key, value in for_cadence(template, given, "4").items():
        chosen = max(branches(value), key=lambda branch: len(json.dumps(branch)))
        if isinstance(chosen, dict):
            chosen = chosen["Fn::Sub"] if "Fn::Sub" in chosen else "9"
        text = text.replace(f"${{{key}}}", str(chosen))
    return json.loads(text)


# The kinds of widgets that are used, and what CloudWatch does not show them without.
WIDGETS = {
    "alarm": {"alarms", "title"},
    "log": {"query", "region", "title", "view"},
    "metric": {"metrics", "period", "region", "title"},
    "text": {"markdown"},
}


def the_dashboard_can_be_read(template):
    try:
        widgets = dashboard(template)["widgets"]
    except ValueError as error:
        yield f"the dashboard is no JSON: {error}"
        return
    taken = set()
    for widget in widgets:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        title = widget["properties"].get("title", widget["type"])
        if not WIDGETS.get(widget["type"], {"a kind that is known"}) <= set(widget["properties"]):
            yield f"{title}: CloudWatch does not show a widget {widget['type']} with {sorted(widget['properties'])}"
        if cells & taken or widget["x"] + widget["width"] > 24:
            yield f"{title} lies on something else, or beside the page"
        taken |= cells
        for metric in widget["properties"].get("metrics", []):
            if not isinstance(metric[0], str):
                continue
            namespace, name, *rest = [part for part in metric if isinstance(part, str)]
            for problem in metric_problems(template, namespace, name, rest[::2]):
                yield f"{title}: {problem}"
    shown = {arn for widget in widgets if widget["type"] == "alarm" for arn in widget["properties"]["alarms"]}
    for name in alarms(template):
        if f"${{{name}.Arn}}" not in shown:
            yield f"the dashboard does not show {name}"


# --- the template itself


def everything_referred_to_is_there(template):
    known = set(template["Resources"]) | set(template["Parameters"])
    for part in ("Resources", "Outputs", "Conditions"):
        for name, node in template[part].items():
            for used in names_in(node):
                if not used.startswith("AWS::") and not used.startswith("__") and used not in known:
                    yield f"{name} refers to {used}, which is not there"


def nothing_waits_in_a_circle(template):
    """The linter looks for this too, but not in what the transform makes of the API."""
    resources = template["Resources"]
    waits_for = {
        name: (set(names_in(resource)) | set(listed(resource.get("DependsOn", [])))) & set(resources)
        for name, resource in resources.items()
    }
    while ready := {name for name, others in waits_for.items() if not others & set(waits_for)}:
        waits_for = {name: others for name, others in waits_for.items() if name not in ready}
    if waits_for:
        yield f"{sorted(waits_for)} wait for each other"


def commands_invoke_once(template):
    """The AWS CLI waits for a minute and tries again, which is another invocation."""
    for name, output in template["Outputs"].items():
        for text in texts(output["Value"]):
            if "lambda invoke" in text and not (
                text.startswith("AWS_MAX_ATTEMPTS=1 ") and " --cli-read-timeout 900 " in text
            ):
                yield f"{name} may invoke twice"


def where_it_does_not_hold(condition, node):
    """A value as it is where a condition does not hold."""
    if isinstance(node, dict) and node.get("Fn::If", [None])[0] == condition:
        return where_it_does_not_hold(condition, node["Fn::If"][2])
    if isinstance(node, dict):
        return {key: where_it_does_not_hold(condition, value) for key, value in node.items()}
    return [where_it_does_not_hold(condition, value) for value in node] if isinstance(node, list) else node


def outputs_hold_under_every_condition(template):
    resources = template["Resources"]
    wanted = "StoreTheDatabaseUrl StoreTheGitHubToken Migrate CollectNow ApiUrl ReadTheApiKey DashboardUrl"
    for missing in set(wanted.split()) - set(template["Outputs"]):
        yield f"there is no {missing}"
    for name, output in template["Outputs"].items():
        if not output.get("Description"):
            yield f"{name} does not say what it is for"
        for used in names_in(output["Value"]):
            condition = resources.get(used, {}).get("Condition")
            if condition in (None, output.get("Condition")):
                continue
            if used in names_in(where_it_does_not_hold(condition, output["Value"])):
                yield f"{name} refers to {used}, which is there only if {condition}"


POLICIES = [
    functions_run_their_program,
    functions_run_on_arm,
    functions_end_in_time,
    traces_are_sent_only_where_they_are_wanted,
    variables_are_known,
    functions_may_join_a_network,
    both_functions_see_the_layer,
    messages_are_hidden_long_enough,
    limits.messages_outlive_their_receives,
    limits.alarms_fire_in_time,
    batches_fail_partially,
    a_worker_takes_one_repository_at_a_time,
    workers_are_not_refused,
    unfinished_work_may_come_back,
    failures_land_somewhere,
    collections_run_as_often_as_asked,
    messages_are_looked_for_where_there_are_channels,
    alarms_follow_the_cadence,
    everything_is_encrypted_with_the_given_key,
    functions_log_to_our_groups,
    secrets_are_empty,
    secrets_are_named_after_the_stack,
    roles_are_each_for_one,
    access.roles_are_taken_by_their_users,
    access.roles_may_do_what_they_need,
    every_request_shows_who_asks,
    requests_are_bounded,
    every_path_is_bounded,
    networks_and_endpoints_are_kept_out,
    releases_go_live_in_steps,
    the_key_can_be_replaced,
    there_is_one_stage,
    the_gateway_speaks_like_the_program,
    access_is_logged,
    alarms_look_at_metrics_that_exist,
    alarms_can_ring,
    little_is_watched_where_little_is_paid,
    alarms_wake_somebody_or_wait,
    only_alarms_publish,
    the_runbook_has_an_entry_for_each_alarm,
    the_dashboard_can_be_read,
    everything_referred_to_is_there,
    nothing_waits_in_a_circle,
    commands_invoke_once,
    outputs_hold_under_every_condition,
]

EVERYWHERE = [
    limits.numbers_are_within_limits,
    limits.numbers_are_given,
    limits.defaults_are_sensible,
    limits.what_costs_by_the_hour_is_asked_for,
    limits.what_holds_data_is_kept,
    access.nobody_else_is_trusted,
    access.no_account_is_named,
    access.what_is_denied_stays_denied,
    network.nobody_comes_in_from_outside,
    network.connections_go_where_they_should,
]

# Every template, with its policies.
JUDGED = {
    "template.yaml": EVERYWHERE + POLICIES,
    "infra/budget.yaml": EVERYWHERE + budget.POLICIES,
    "infra/database.yaml": EVERYWHERE + database.POLICIES,
    "infra/network.yaml": EVERYWHERE + network.POLICIES,
    "infra/github-oidc.yaml": EVERYWHERE + access.POLICIES,
}


def judge(policy, template):
    """What a policy finds. One that cannot follow a template has found that the template is not whole."""
    try:
        return list(policy(template))
    except Exception as error:  # Of any kind: policies are written for what a template should be.
        return [f"{CANNOT_JUDGE} {policy.__name__}: {error!r}"]


CANNOT_JUDGE = "cannot be judged by"


def findings(path, template):
    """What all policies of a template find in it, or in another version of it."""
    return [finding for policy in JUDGED[path] for finding in judge(policy, template)]
