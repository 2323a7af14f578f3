"""Numbers that cost money or lose data: each has a range, and one that has none yet is a finding."""

import re

from nodes import branches, is_function, of_type, properties

# By type and path. A number outside is a slip: a zero too many, minutes for seconds.
LIMITS = {
    "ApiGateway::RestApi": {"MinimumCompressionSize": (512, 102_400)},
    # For all callers together; 0 closes a path.
    "ApiGateway::Stage": {
        "MethodSettings.ThrottlingRateLimit": (0, 1000),
        "MethodSettings.ThrottlingBurstLimit": (0, 1000),
    },
    "ApiGateway::UsagePlan": {
        "Throttle.RateLimit": (1, 1000),
        "Throttle.BurstLimit": (1, 1000),
        "Quota.Limit": (1000, 100_000_000),
    },
    "Budgets::Budget": {
        # USD a month.
        "Budget.BudgetLimit.Amount": (1, 100_000),
        # Percent.
        "NotificationsWithSubscribers.Notification.Threshold": (100, 100),
    },
    "CloudWatch::Alarm": {
        "DatapointsToAlarm": (1, 24),
        # Three runs eight hours apart, and an hour.
        "EvaluationPeriods": (1, 25),
        "Metrics.MetricStat.Period": (60, 86_400),
        "Period": (60, 86_400),
    },
    "EC2::FlowLog": {"MaxAggregationInterval": (60, 600)},
    "EC2::SecurityGroup": {
        "SecurityGroupEgress.FromPort": (443, 5432),
        "SecurityGroupEgress.IpProtocol": (-1, -1),
        "SecurityGroupEgress.ToPort": (443, 5432),
        "SecurityGroupIngress.FromPort": (443, 5432),
        "SecurityGroupIngress.ToPort": (443, 5432),
    },
    "EC2::SecurityGroupIngress": {"FromPort": (5432, 5432), "ToPort": (5432, 5432)},
    "IAM::Role": {"MaxSessionDuration": (900, 3600)},
    "Lambda::EventInvokeConfig": {"MaximumEventAgeInSeconds": (600, 14_400), "MaximumRetryAttempts": (1, 2)},
    # Lambda takes more than ten messages only with a time to wait for them.
    "Lambda::EventSourceMapping": {
        "BatchSize": (1, 10),
        "MaximumBatchingWindowInSeconds": (0, 300),
        "ScalingConfig.MaximumConcurrency": (2, 20),
    },
    "Lambda::Function": {
        "Environment.Variables.BACKFILL_DAYS": (1, 3650),
        "Environment.Variables.COLLECT_EVERY_HOURS": (1, 8),
        "Environment.Variables.LEDGER_DAYS": (30, 3650),
        "Environment.Variables.REQUEST_TIMEOUT_SECONDS": (1, 28),
        "MemorySize": (128, 1024),
        "ReservedConcurrentExecutions": (1, 100),
        "Timeout": (10, 900),
    },
    "Logs::LogGroup": {"RetentionInDays": (1, 731)},
    # What is counted is lines.
    "Logs::MetricFilter": {"MetricTransformations.MetricValue": (1, 1)},
    "RDS::DBCluster": {
        "BackupRetentionPeriod": (1, 35),
        "ServerlessV2ScalingConfiguration.MaxCapacity": (1, 64),
        "ServerlessV2ScalingConfiguration.MinCapacity": (0, 64),
    },
    "RDS::DBClusterParameterGroup": {"Parameters.rds.force_ssl": (1, 1)},
    "RDS::DBInstance": {
        "AllocatedStorage": (20, 1000),
        "BackupRetentionPeriod": (1, 35),
        "MaxAllocatedStorage": (30, 5000),
        # Seconds; 0 is never.
        "MonitoringInterval": (0, 60),
    },
    "RDS::DBParameterGroup": {"Parameters.rds.force_ssl": (1, 1)},
    # Seconds.
    "RDS::DBProxy": {"IdleClientTimeout": (300, 3600)},
    "RDS::DBProxyTargetGroup": {
        # Seconds: less than a request may take.
        "ConnectionPoolConfigurationInfo.ConnectionBorrowTimeout": (1, 4),
        "ConnectionPoolConfigurationInfo.MaxConnectionsPercent": (50, 90),
        "ConnectionPoolConfigurationInfo.MaxIdleConnectionsPercent": (1, 50),
    },
    "S3::Bucket": {"LifecycleConfiguration.Rules.NoncurrentVersionExpiration.NoncurrentDays": (7, 365)},
    "SQS::Queue": {
        # SQS has no longer ones.
        "MessageRetentionPeriod": (14_400, 1_209_600),
        "RedrivePolicy.maxReceiveCount": (2, 10),
        "VisibilityTimeout": (30, 43_200),
    },
    "Scheduler::Schedule": {
        "Target.RetryPolicy.MaximumEventAgeInSeconds": (600, 14_400),
        "Target.RetryPolicy.MaximumRetryAttempts": (1, 5),
    },
    "SecretsManager::RotationSchedule": {"RotationRules.AutomaticallyAfterDays": (1, 365)},
    "SecretsManager::Secret": {"GenerateSecretString.PasswordLength": (32, 128)},
}

# Parameters that no property takes as a number.
OTHER_PARAMETERS = {"ApiKeyVersion": (1, 1_000_000), "NatGateways": (1, 2)}

# Defaults of parameters whose own range is wide.
DEFAULTS = {"ApiKeyVersion": (1, 1), "ApiMonthlyQuota": (1000, 1_000_000)}

# Numbers without which AWS takes one of its own: too little memory, logs forever, no backups, any number of workers.
NEEDED = {
    "ApiGateway::UsagePlan": {"Throttle.RateLimit", "Throttle.BurstLimit", "Quota.Limit"},
    "Budgets::Budget": set(LIMITS["Budgets::Budget"]),
    "Lambda::EventInvokeConfig": {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"},
    "Lambda::EventSourceMapping": {"BatchSize", "ScalingConfig.MaximumConcurrency"},
    "Lambda::Function": {"MemorySize", "Timeout"},
    "Logs::LogGroup": {"RetentionInDays"},
    "RDS::DBCluster": set(LIMITS["RDS::DBCluster"]),
    "RDS::DBClusterParameterGroup": set(LIMITS["RDS::DBClusterParameterGroup"]),
    "RDS::DBInstance": set(LIMITS["RDS::DBInstance"]) - {"MonitoringInterval"},
    "RDS::DBParameterGroup": set(LIMITS["RDS::DBParameterGroup"]),
    "RDS::DBProxy": set(LIMITS["RDS::DBProxy"]),
    "RDS::DBProxyTargetGroup": set(LIMITS["RDS::DBProxyTargetGroup"]),
    "S3::Bucket": set(LIMITS["S3::Bucket"]),
    "Scheduler::Schedule": set(LIMITS["Scheduler::Schedule"]),
}

AT_LEAST, ABOVE, BELOW = "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold"

# When an alarm fires. A threshold that is too high never does; with the comparison the other way it always does.
THRESHOLDS = {
    "ApiCrashing": (AT_LEAST, 2, 10),
    "ApiFailing": (AT_LEAST, 2, 20),
    "ApiLimited": (ABOVE, 5, 100),
    "ApiSlow": (ABOVE, 1000, 10_000),
    "ChangesUnannounced": (AT_LEAST, 1, 10),
    "ChangesUnread": (AT_LEAST, 1, 1),
    "CollectorFailing": (AT_LEAST, 2, 5),
    # Milliseconds. It stops by itself after 870 s, and Lambda ends it after 900 s.
    "CollectorNearTimeout": (ABOVE, 871_000, 899_000),
    "CollectorOutOfMemory": (AT_LEAST, 1, 1),
    # Hours; 0 stands for twice CollectEvery and one.
    "DataStale": (ABOVE, 0, 168),
    "DatabaseCredits": (BELOW, 1, 20),
    "DatabaseConnections": (ABOVE, 5, 5000),
    # Bytes.
    "DatabaseStorage": (BELOW, 1_000_000_000, 10_000_000_000),
    "DeadLettersWaiting": (AT_LEAST, 1, 1),
    "FirstRunCompleted": (AT_LEAST, 1, 1),
    "FunctionsThrottled": (AT_LEAST, 1, 1),
    "InvocationsHigh": (ABOVE, 100, 1_000_000),
    "MessagesFailed": (AT_LEAST, 1, 5),
    "MessagesUnread": (AT_LEAST, 1, 1),
    "MissedRunsWaiting": (AT_LEAST, 1, 1),
    "PullRequestsQuarantined": (AT_LEAST, 1, 1),
    # Percent. The collector leaves ten to others.
    "RateLimitLow": (BELOW, 11, 25),
    "RunFailed": (AT_LEAST, 1, 1),
    "RunMissing": (BELOW, 1, 1),
    "RunsPartial": (AT_LEAST, 1, 1),
    # Days.
    "TokenExpires": (BELOW, 7, 30),
    "TokenRefused": (AT_LEAST, 1, 1),
    "WebhooksRefused": (AT_LEAST, 2, 50),
    # Seconds: twice CollectEvery and an hour.
    "WorkWaiting": (ABOVE, 10_800, 61_200),
}


def as_number(value):
    """A number, also when it is written as text; `None` for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    return value if isinstance(value, int | float) else None


def leaves(node, path=""):
    """Every leaf with its path, which leaves out places in lists and what a condition decides."""
    for branch in branches(node):
        if isinstance(branch, list):
            for item in branch:
                yield from leaves(item, path)
        elif isinstance(branch, dict) and not is_function(branch):
            for key, value in branch.items():
                yield from leaves(value, f"{path}.{key}" if path else key)
        else:
            yield path, branch


def is_number(parameter):
    """Whether a parameter is a number, or one of some numbers."""
    allowed = parameter.get("AllowedValues", [])
    return parameter.get("Type") == "Number" or bool(allowed) and None not in map(as_number, allowed)


def amounts(template, value):
    """Every number that a leaf may become. `None` stands for a bound that a parameter lacks."""
    if as_number(value) is not None:
        yield as_number(value)
    elif isinstance(value, dict) and "Fn::FindInMap" in value:
        name, _, key = value["Fn::FindInMap"]
        yield from filter(None, (as_number(keys.get(key)) for keys in template["Mappings"][name].values()))
    elif isinstance(value, dict) and is_number(template["Parameters"].get(value.get("Ref"), {})):
        parameter = template["Parameters"][value["Ref"]]
        bounds = parameter.get("AllowedValues") or [parameter.get("MinValue"), parameter.get("MaxValue")]
        yield from map(as_number, bounds)
        if "Default" in parameter:
            yield as_number(parameter["Default"])


def numbers(template):
    """Every leaf that may be a number: resource, type, path, leaf, and what it may become."""
    for name, resource in template["Resources"].items():
        # The API's definition has no number that costs anything, and other policies read it.
        facts = {key: value for key, value in resource.get("Properties", {}).items() if key != "Body"}
        for path, leaf in leaves(facts):
            if may_be := list(amounts(template, leaf)):
                yield name, resource["Type"].removeprefix("AWS::"), path, leaf, may_be


def beyond(may_be, least, most):
    """What is outside of a range."""
    return [value for value in may_be if value is None or not least <= value <= most]


def judged(what, may_be, limits):
    if limits is None:
        yield f"nobody said how large {what} may be"
    elif outside := beyond(may_be, *limits):
        yield f"{what} may be {outside}, which is not within {limits}"


def numbers_are_within_limits(template):
    used = set()
    for name, kind, path, leaf, may_be in numbers(template):
        used |= {leaf["Ref"]} if isinstance(leaf, dict) and "Ref" in leaf else set()
        # Each alarm has its own.
        if (kind, path) != ("CloudWatch::Alarm", "Threshold"):
            yield from judged(f"{path} of {name}", may_be, LIMITS.get(kind, {}).get(path))
    for name, parameter in template["Parameters"].items():
        if is_number(parameter) and name not in used:
            yield from judged(name, amounts(template, {"Ref": name}), OTHER_PARAMETERS.get(name))


def numbers_are_given(template):
    for kind, paths in NEEDED.items():
        for name, facts in properties(template, kind).items():
            # A cluster's instance has the storage and the backups of its cluster.
            if "DBClusterIdentifier" not in facts:
                found = {path for path, leaf in leaves(facts) if any(True for _ in amounts(template, leaf))}
                for path in sorted(paths - found):
                    yield f"{name} does not say {path}"


def defaults_are_sensible(template):
    for name, parameter in template["Parameters"].items():
        if is_number(parameter) and "Default" in parameter:
            default = as_number(parameter["Default"])
            allowed = (parameter.get("MinValue", default), parameter.get("MaxValue", default))
            yield from judged(f"the default of {name}", [default], allowed)
            yield from judged(f"the default of {name}", [default], DEFAULTS.get(name, allowed))


def alarms_fire_in_time(template):
    """At a threshold that is neither never reached nor always."""
    for name, alarm in properties(template, "CloudWatch::Alarm").items():
        if name not in THRESHOLDS:
            yield f"nobody said when {name} fires"
            continue
        comparison, *limits = THRESHOLDS[name]
        if alarm.get("ComparisonOperator") != comparison:
            yield f"{name} fires the other way: {alarm.get('ComparisonOperator')}"
        may_be = [value for branch in branches(alarm.get("Threshold")) for value in amounts(template, branch)]
        if not may_be or beyond(may_be, *limits):
            yield f"{name} fires at {may_be}, which is not within {limits}"


def messages_outlive_their_receives(template):
    """A message that expires before its last receive never becomes a dead letter."""
    for name, queue in properties(template, "SQS::Queue").items():
        if redrive := queue.get("RedrivePolicy"):
            needed = redrive["maxReceiveCount"] * queue.get("VisibilityTimeout", 30)
            kept = queue.get("MessageRetentionPeriod", 345_600)
            if kept < needed:
                yield f"{name}: a message is kept for {kept} s, and its receives take {needed} s"


# What costs by the hour, and how many of it there are without being asked for.
BY_THE_HOUR = {
    "EC2::EIP": 1,
    "EC2::NatGateway": 1,
    "RDS::DBCluster": 0,
    "RDS::DBInstance": 0,
    "RDS::DBProxy": 0,
}


def what_costs_by_the_hour_is_asked_for(template):
    counts = {kind: of_type(template, kind) for kind in BY_THE_HOUR}
    # Those for S3 are free.
    counts["EC2::VPCEndpoint"] = {
        name: endpoint
        for name, endpoint in of_type(template, "EC2::VPCEndpoint").items()
        if endpoint["Properties"].get("VpcEndpointType") != "Gateway"
    }
    for kind, resources in counts.items():
        always = [name for name, resource in resources.items() if "Condition" not in resource]
        if len(always) > BY_THE_HOUR.get(kind, 0):
            yield f"{always} cost by the hour in every stack"


def what_holds_data_is_kept(template):
    """What CloudFormation does to data when a stack, or a resource of it, goes."""
    for name, resource in template["Resources"].items():
        kind, facts = resource["Type"].removeprefix("AWS::"), resource.get("Properties", {})
        is_member = "DBClusterIdentifier" in facts
        wanted = None if is_member else KEPT.get(name) or KEPT.get(kind)
        have = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        if wanted and have != wanted:
            yield f"{name} goes with the stack, or stays after a creation that failed: {have}"


# By type, or by name: when it is deleted, and when it is replaced.
KEPT = {
    "IAM::OIDCProvider": ("RetainExceptOnCreate", "Retain"),
    "RDS::DBCluster": ("Snapshot", "Snapshot"),
    "RDS::DBInstance": ("Snapshot", "Snapshot"),
    "S3::Bucket": ("RetainExceptOnCreate", "Retain"),
    "SecretsManager::Secret": ("RetainExceptOnCreate", "Retain"),
    # Other APIs of the account log with it.
    "ApiGateway::Account": ("Retain", "Retain"),
    "ApiGatewayLogsRole": ("Retain", "Retain"),
}
