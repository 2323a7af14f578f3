"""The template deployed to an emulated AWS, and what came of it read back."""

import json

import emulator
import nodes
import policies
import pytest
from moto import mock_aws
from translate import BUCKET, CODE, ROOT, source, translated

SECRET = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:{}-AbCdEf"
EVERYTHING_GIVEN = {
    "GitHubAppId": "12345",
    "DatabaseSecretArn": SECRET.format("Database"),
    "DatabaseWriterSecretArn": SECRET.format("Writer"),
    "DatabaseReaderSecretArn": SECRET.format("Reader"),
    "DatabaseLogins": "separate",
    "DatabaseProxyHost": "mergeline.proxy-abcdefghij.eu-north-1.rds.amazonaws.com",
    "DatabaseRootCertificate": "rds-ca.pem",
    "HttpsProxy": "http://proxy.example.com:3128",
    "NoProxy": ".amazonaws.com,10.0.0.0/16",
    "TrustedAuthorities": "authorities.pem",
    "ApiKeysSecretArn": SECRET.format("ApiKeys"),
    "WebhookSecretsSecretArn": SECRET.format("Webhooks"),
    "ChannelsSecretArn": SECRET.format("Channels"),
    "ChannelHosts": "chat.example.com,10.0.0.7:8443",
    "MailFrom": "mergeline@example.com",
    "SmtpSecretArn": SECRET.format("Smtp"),
    "OidcIssuer": "https://accounts.google.com",
    "OidcClientId": "1234.apps.googleusercontent.com",
    "LoginSecretArn": SECRET.format("Login"),
    "PublicUrl": "https://metrics.example.com/delivery/v1/app/",
    "OidcScopes": "openid email profile groups",
    "OidcGroupsClaim": "roles",
    "DomainName": "metrics.example.com",
    "CertificateArn": "arn:aws:acm:eu-north-1:123456789012:certificate/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f",
    "BasePath": "delivery/v1",
    "TlsPolicy": "SecurityPolicy_TLS13_1_3_2025_09",
    "DisableExecuteApi": "true",
    "AllowedCidrs": "203.0.113.0/24,2001:db8::/32",
    "WebhookCidrs": "192.30.252.0/22",
    "CorsOrigin": "https://dashboards.example.com,http://localhost:5173",
    "ApiTotalRateLimit": "30",
    "ApiTotalBurstLimit": "60",
    "AlarmEmail": "ops@example.com",
    "DatabaseInstanceId": "mergeline-database",
    "DatabaseConnectionLimit": "40",
    "StaleAfterHours": "30",
    "Monitoring": "full",
    "InvocationsLimit": "5000",
    "Authorizer": "key",
    "ApiRateLimit": "3",
    "ApiConcurrency": "20",
    "ApiRollout": "Linear10PercentEvery1Minute",
    "GatewayKeyScope": "metrics:read",
    "ApiBurstLimit": "7",
    "ApiMonthlyQuota": "5000",
    "RequestTimeoutSeconds": "8",
    "CollectEvery": "1",
    "WorkersAtOnce": "4",
    "BackfillDays": "30",
    "LedgerDays": "90",
    "LogRetentionDays": "90",
    "AccessLogs": "with-role",
    "Tracing": "xray",
    "OtlpEndpoint": "https://otlp.example.com:4318/otlp",
    "OtlpHeadersSecretArn": SECRET.format("Otlp"),
}


class Stack:
    """What CloudFormation and the services say about a stack."""

    def __init__(self, name, parameters, template=None):
        self.name = name
        cloudformation = emulator.client("cloudformation")
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template or translated(parameters)),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        (facts,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        self.status = facts["StackStatus"]
        self.outputs = {it["OutputKey"]: it["OutputValue"] for it in facts["Outputs"]}
        # moto lists what a condition left out as well, without a name.
        self.resources = {
            it["LogicalResourceId"]: it["PhysicalResourceId"]
            for it in cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
            if it["LogicalResourceId"]
        }

    def __getitem__(self, name):
        return self.resources[name]

    def function(self, name):
        return emulator.client("lambda").get_function_configuration(FunctionName=self[name])

    def variables(self, name):
        return self.function(name)["Environment"]["Variables"]

    def queue(self, name):
        sqs = emulator.client("sqs")
        return sqs.get_queue_attributes(QueueUrl=self[name], AttributeNames=["All"])["Attributes"]

    def alarm(self, name):
        made = emulator.client("cloudwatch").describe_alarms(
            AlarmNames=[self[name]], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        (alarm,) = made["MetricAlarms"] + made["CompositeAlarms"]
        return alarm

    def role(self, name):
        """Every action that a role's own policies allow, with its resources."""
        iam, allowed = emulator.client("iam"), set()
        for policy in iam.list_role_policies(RoleName=self[name])["PolicyNames"]:
            document = iam.get_role_policy(RoleName=self[name], PolicyName=policy)["PolicyDocument"]
            for statement in nodes.listed(document["Statement"]):
                for action in nodes.listed(statement["Action"]):
                    allowed |= {(action, resource) for resource in nodes.listed(statement["Resource"])}
        return allowed


@pytest.fixture(scope="module")
def aws():
    """An account, with what `sam deploy` uploads."""
    with mock_aws(config={"lambda": {"use_docker": False}, "iam": {"load_aws_managed_policies": True}}):
        s3 = emulator.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": emulator.REGION})
        for key in CODE:
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"zip")
        yield


@pytest.fixture(scope="module")
def usual(aws):
    """A stack as it is without any parameter."""
    return Stack("mergeline-usual", {})


@pytest.fixture(scope="module")
def full(aws, usual):
    """A stack with every parameter given, beside the other one."""
    return Stack("mergeline-full", EVERYTHING_GIVEN | network() | zone() | firewall() | key())


@pytest.fixture(scope="module")
def private(aws):
    """A stack that is reached through a VPC endpoint."""
    given = {"EndpointType": "PRIVATE", "VpcEndpointId": "vpce-0a1b2c", "AllowedCidrs": "10.0.0.0/8"}
    return Stack("mergeline-private", given)


@pytest.fixture(scope="module")
def signed(aws):
    """A stack that identities of IAM ask, from some networks."""
    return Stack("mergeline-signed", {"Authorizer": "iam", "AllowedCidrs": "203.0.113.0/24"})


@pytest.fixture(scope="module")
def signed_with_page(aws):
    """The same, with a page for people."""
    login = {name: EVERYTHING_GIVEN[name] for name in ("OidcIssuer", "OidcClientId", "LoginSecretArn", "PublicUrl")}
    return Stack("mergeline-signed-page", {"Authorizer": "iam", "AllowedCidrs": "203.0.113.0/24"} | login)


TOKENS = {"Authorizer": "jwt", "JwtIssuer": "https://id.example.com", "JwtAudience": "https://metrics.example.com"}


@pytest.fixture(scope="module")
def by_token(aws):
    """A stack that programs ask with tokens, from some networks."""
    limits = {"TokenRateLimit": "9", "TokenBurstLimit": "18"}
    return Stack("mergeline-tokens", TOKENS | limits | {"AllowedCidrs": "203.0.113.0/24", "OidcGroupsClaim": "roles"})


@pytest.fixture(scope="module")
def by_token_with_page(aws):
    """The same, with a page for people, whose provider signs the tokens."""
    login = {name: EVERYTHING_GIVEN[name] for name in ("OidcIssuer", "OidcClientId", "LoginSecretArn", "PublicUrl")}
    return Stack("mergeline-tokens-page", TOKENS | {"JwtIssuer": ""} | login)


@pytest.fixture(scope="module")
def by_iam(aws):
    """A stack whose logins are let in by IAM."""
    names = ("DatabaseSecretArn", "DatabaseWriterSecretArn", "DatabaseReaderSecretArn")
    given = {"DatabaseLogin": "iam", "DatabaseResourceId": "db-ABCDEFGHIJKL0123", "DatabaseReaderName": "numbers"}
    return Stack("mergeline-iam", {name: EVERYTHING_GIVEN[name] for name in names} | given)


@pytest.fixture(scope="module")
def by_ses(aws):
    """A stack that sends mail by SES."""
    given = {"ChannelsSecretArn": SECRET.format("Channels"), "MailFrom": "mergeline@example.com"}
    return Stack("mergeline-mail", given)


@pytest.fixture(scope="module")
def little(aws):
    """A stack to develop with, which has what would bring alarms of its own."""
    given = {"Monitoring": "minimal", "DatabaseInstanceId": "db", "AccessLogs": "role-exists"}
    return Stack("mergeline-little", given | {"WebhookSecretsSecretArn": SECRET.format("Webhooks")})


def key():
    """A key, with the policy that the documents give."""
    policy = (ROOT / "infra/key-policy.json").read_text().replace("ACCOUNT", "123456789012")
    made = emulator.client("kms").create_key(Policy=policy.replace("REGION", emulator.REGION))
    return {"KmsKeyArn": made["KeyMetadata"]["Arn"]}


def firewall():
    """A web ACL to stand before the API."""
    metrics = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "acl"}
    made = emulator.client("wafv2").create_web_acl(
        Name="acl", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=metrics
    )
    return {"WafAclArn": made["Summary"]["ARN"]}


def database(name, **parameters):
    """A database beside a stack, in a network of its own."""
    put_into, template = network(f"{name}-functions"), source("infra/database.yaml")
    (subnet, _) = put_into["SubnetIds"].split(",")
    (facts,) = emulator.client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"]
    place = {"VpcId": facts["VpcId"], "SubnetIds": put_into["SubnetIds"]}
    stack = Stack(name, place | {"FunctionsSecurityGroupId": put_into["SecurityGroupIds"]} | parameters, template)
    return stack, put_into["SecurityGroupIds"]


def network(group="functions"):
    """A network to be put into."""
    ec2 = emulator.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)]
    made = ec2.create_security_group(GroupName=group, Description="functions", VpcId=vpc)["GroupId"]
    return {"SubnetIds": ",".join(subnets), "SecurityGroupIds": made}


def zone():
    """A zone to put the domain's record into."""
    made = emulator.client("route53").create_hosted_zone(Name="example.com", CallerReference="domain")
    return {"HostedZoneId": made["HostedZone"]["Id"].removeprefix("/hostedzone/")}


def test_the_stack_completes(usual, template):
    assert usual.status == "CREATE_COMPLETE"
    conditional = {
        "AlarmEmailSubscription",
        "NoticeEmailSubscription",
        "DatabaseConnections",
        "DatabaseStorage",
        "DatabaseCredits",
        "Firewall",
        "Migrator",
        "MigratorRole",
        "MigratorLogs",
        "NetworkPolicy",
        "Domain",
        "DomainMapping",
        "DomainRecord",
        "Changes",
        "ChangeDeadLetters",
        "CollectorChanges",
        "ChangesUnread",
        "WebhooksRefusedCount",
        "WebhooksRefused",
        "WebhooksWithPreviousSecretCount",
        "ChangesUnannounced",
        "Messages",
        "MessageDeadLetters",
        "CollectorMessages",
        "NotifySchedule",
        "MessagesUnread",
        "MessagesFailedCount",
        "MessagesFailed",
        "AccessLog",
        "TooManyRequests",
        "ApiLimited",
        "ApiGatewayLogsRole",
        "ApiGatewayAccount",
    }
    assert set(usual.resources) == set(template["Resources"]) - conditional


def test_it_completes_with_every_parameter_given(full, template):
    assert full.status == "CREATE_COMPLETE"
    conditional = {"DatabaseSecret"}
    assert set(full.resources) == set(template["Resources"]) - conditional


def test_a_domain_leads_to_the_api_by_its_path_and_record(full):
    domain = emulator.client("apigateway").get_domain_name(domainName="metrics.example.com")
    assert domain["regionalCertificateArn"] == EVERYTHING_GIVEN["CertificateArn"]
    assert domain["securityPolicy"] == "SecurityPolicy_TLS13_1_3_2025_09"
    (mapping,) = emulator.client("apigatewayv2").get_api_mappings(DomainName="metrics.example.com")["Items"]
    assert (mapping["ApiId"], mapping["Stage"], mapping["ApiMappingKey"]) == (full["Gateway"], "v1", "delivery/v1")
    (zone,) = emulator.client("route53").list_hosted_zones()["HostedZones"]
    records = emulator.client("route53").list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    (record,) = [it for it in records if it["Type"] == "A"]
    assert record["Name"].rstrip(".") == "metrics.example.com"
    assert record["AliasTarget"]["DNSName"].rstrip(".") == full.outputs["DomainTarget"]
    assert full.outputs["ApiUrl"] == "https://metrics.example.com/delivery/v1"
    assert full.outputs["WebhookUrl"] == "https://metrics.example.com/delivery/v1/webhook/github"
    assert "https://metrics.example.com/delivery/v1/teams" in full.outputs["AskForTheTeams"]


def test_without_a_domain_no_custom_address_is_printed(usual):
    assert "DomainTarget" not in usual.outputs


def test_where_the_domain_is_the_only_address_no_output_names_another(usual, full):
    gateway = emulator.client("apigateway")
    assert gateway.get_rest_api(restApiId=full["Gateway"])["disableExecuteApiEndpoint"] is True
    assert gateway.get_rest_api(restApiId=usual["Gateway"])["disableExecuteApiEndpoint"] is False
    # The domain's record leads there, and nothing is asked by it.
    assert [name for name, value in full.outputs.items() if "execute-api" in value] == ["DomainTarget"]


def test_networks_that_are_not_given_are_kept_out(usual, full, private):
    gateway = emulator.client("apigateway")
    assert not gateway.get_rest_api(restApiId=usual["Gateway"]).get("policy")
    _, api, webhooks = json.loads(gateway.get_rest_api(restApiId=full["Gateway"])["policy"])["Statement"]
    assert api["Condition"] == {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}
    assert (api["Effect"], api["NotResource"]) == ("Deny", "execute-api:/v1/POST/webhook/*")
    assert webhooks["Condition"] == {"NotIpAddress": {"aws:SourceIp": ["192.30.252.0/22"]}}
    assert (webhooks["Effect"], webhooks["Resource"]) == ("Deny", "execute-api:/v1/POST/webhook/*")
    _, endpoint, network = json.loads(gateway.get_rest_api(restApiId=private["Gateway"])["policy"])["Statement"]
    assert endpoint["Condition"] == {"StringNotEquals": {"aws:SourceVpce": "vpce-0a1b2c"}}
    assert network["Condition"] == {"NotIpAddress": {"aws:VpcSourceIp": ["10.0.0.0/8"]}}


def test_a_private_api_is_reached_through_its_endpoint(private):
    assert private.status == "CREATE_COMPLETE"
    api = emulator.client("apigateway").get_rest_api(restApiId=private["Gateway"])
    assert api["endpointConfiguration"]["types"] == ["PRIVATE"]
    assert api["endpointConfiguration"]["vpcEndpointIds"] == ["vpce-0a1b2c"]
    host = f"https://{private['Gateway']}-vpce-0a1b2c.execute-api.eu-north-1.amazonaws.com"
    assert private.outputs["ApiUrl"] == f"{host}/v1"
    assert private.outputs["PageUrl"] == f"{host}/v1/app/"


def test_a_firewall_stands_before_the_stage(full):
    stage = f"arn:aws:apigateway:eu-north-1::/restapis/{full['Gateway']}/stages/v1"
    assert emulator.client("wafv2").get_web_acl_for_resource(ResourceArn=stage)["WebACL"]["Name"] == "acl"


def test_queues_hide_keep_and_redrive(usual):
    work, dead = usual.queue("Work"), usual.queue("DeadLetters")
    assert int(work["VisibilityTimeout"]) >= 6 * usual.function("Collector")["Timeout"]
    redrive = json.loads(work["RedrivePolicy"])
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (dead["QueueArn"], 5)
    for name in ("Work", "DeadLetters", "MissedRuns"):
        assert usual.queue(name)["SqsManagedSseEnabled"] == "true"
    for name in ("DeadLetters", "MissedRuns"):
        assert usual.queue(name)["MessageRetentionPeriod"] == "1209600"


def test_a_message_that_is_received_five_times_is_a_dead_letter(usual):
    sqs = emulator.client("sqs")
    sqs.send_message(QueueUrl=usual["Work"], MessageBody="poison")

    def receive(queue):
        return sqs.receive_message(QueueUrl=usual[queue], VisibilityTimeout=0).get("Messages", [])

    for _ in range(5):
        assert [message["Body"] for message in receive("Work")] == ["poison"]
    assert receive("Work") == []
    assert [message["Body"] for message in receive("DeadLetters")] == ["poison"]
    sqs.purge_queue(QueueUrl=usual["DeadLetters"])


def test_the_schedule_invokes_the_collector_and_its_failures_are_kept(usual):
    schedule = emulator.client("scheduler").get_schedule(Name=usual["CollectorSchedule"])
    missed = usual.queue("MissedRuns")["QueueArn"]
    assert (schedule["ScheduleExpression"], schedule["State"]) == ("rate(4 hours)", "ENABLED")
    target = schedule["Target"]
    assert target["Arn"] == usual.function("Collector")["FunctionArn"]
    assert target["DeadLetterConfig"]["Arn"] == missed
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 2}
    assert {("lambda:InvokeFunction", target["Arn"]), ("sqs:SendMessage", missed)} == usual.role(
        "CollectorScheduleRole"
    )
    invoke = emulator.client("lambda").get_function_event_invoke_config(FunctionName=usual["Collector"])
    assert invoke["DestinationConfig"]["OnFailure"]["Destination"] == missed
    assert invoke["MaximumRetryAttempts"] == 2


def test_messages_are_worked_off_one_by_one(usual, full):
    changes = emulator.client("lambda").get_event_source_mapping(UUID=full["CollectorChanges"])
    assert changes["BatchSize"] == 1
    for stack, workers in ((usual, 2), (full, 4)):
        mapping = emulator.client("lambda").get_event_source_mapping(UUID=stack["CollectorWork"])
        assert mapping["EventSourceArn"] == stack.queue("Work")["QueueArn"]
        assert mapping["FunctionArn"] == stack.function("Collector")["FunctionArn"]
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": workers}
        assert mapping["BatchSize"] == 1


def test_killed_workers_are_counted_in_the_log_of_the_collector(usual):
    (counted,) = emulator.client("logs").describe_metric_filters(logGroupName=usual["CollectorLogs"])["metricFilters"]
    (change,) = counted["metricTransformations"]
    alarm = usual.alarm("CollectorOutOfMemory")
    assert (change["metricNamespace"], change["metricName"]) == (alarm["Namespace"], alarm["MetricName"])


def test_functions_are_arm64_and_know_their_surroundings(usual, full):
    for stack in (usual, full):
        for name in {"Collector", "Api", "Migrator"} & set(stack.resources):
            function = stack.function(name)
            assert (function["Architectures"], function["Runtime"]) == (["arm64"], "provided.al2023")
            assert function["TracingConfig"] == {"Mode": "PassThrough" if stack is usual else "Active"}
            assert f":layer:{stack.name}-teams:" in function["Layers"][0]["Arn"]
    assert usual.variables("Collector") == {
        "DB_URL_SECRET_ARN": usual["DatabaseSecret"],
        "GITHUB_TOKEN_SECRET_ARN": usual["GitHubSecret"],
        "GITHUB_API_URL": "https://api.github.com",
        "BACKFILL_DAYS": "200",
        "LEDGER_DAYS": "400",
        "WORK_QUEUE_URL": usual["Work"],
        "DEAD_LETTER_QUEUE_URL": usual["DeadLetters"],
        "METRICS_NAMESPACE": "Mergeline/mergeline-usual",
        "COLLECT_EVERY_HOURS": "4",
    }
    assert usual.variables("Api") == {
        "DB_URL_SECRET_ARN": usual["DatabaseSecret"],
        "AUTHORIZER": "key",
        "GATEWAY_KEY_SCOPE": "prs:read",
        "REQUEST_TIMEOUT_SECONDS": "5",
        "COLLECT_EVERY_HOURS": "4",
    }
    assert full.variables("Collector") == {
        "DB_URL_SECRET_ARN": SECRET.format("Writer"),
        "DB_HOST": EVERYTHING_GIVEN["DatabaseProxyHost"],
        "PGSSLROOTCERT": "/opt/rds-ca.pem",
        "HTTPS_PROXY": "http://proxy.example.com:3128",
        "NO_PROXY": ".amazonaws.com,10.0.0.0/16",
        "SSL_CERT_FILE": "/opt/authorities.pem",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com:4318/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS_SECRET_ARN": SECRET.format("Otlp"),
        "GITHUB_APP_KEY_SECRET_ARN": full["GitHubSecret"],
        "GITHUB_APP_ID": "12345",
        "GITHUB_API_URL": "https://api.github.com",
        "BACKFILL_DAYS": "30",
        "LEDGER_DAYS": "90",
        "WORK_QUEUE_URL": full["Work"],
        "DEAD_LETTER_QUEUE_URL": full["DeadLetters"],
        "CHANGES_QUEUE_URL": full["Changes"],
        "MESSAGES_QUEUE_URL": full["Messages"],
        "CHANNELS_SECRET_ARN": SECRET.format("Channels"),
        "CHANNEL_HOSTS": "chat.example.com,10.0.0.7:8443",
        "MAIL_FROM": "mergeline@example.com",
        "SMTP_URL_SECRET_ARN": SECRET.format("Smtp"),
        "PUBLIC_URL": "https://metrics.example.com/delivery/v1/app/",
        "METRICS_NAMESPACE": "Mergeline/mergeline-full",
        "COLLECT_EVERY_HOURS": "1",
    }
    assert full.variables("Api") == {
        "DB_URL_SECRET_ARN": SECRET.format("Reader"),
        "DB_HOST": EVERYTHING_GIVEN["DatabaseProxyHost"],
        "PGSSLROOTCERT": "/opt/rds-ca.pem",
        "HTTPS_PROXY": "http://proxy.example.com:3128",
        "NO_PROXY": ".amazonaws.com,10.0.0.0/16",
        "SSL_CERT_FILE": "/opt/authorities.pem",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example.com:4318/otlp",
        "OTEL_EXPORTER_OTLP_HEADERS_SECRET_ARN": SECRET.format("Otlp"),
        "API_KEYS_SECRET_ARN": SECRET.format("ApiKeys"),
        "WEBHOOK_SECRETS_SECRET_ARN": SECRET.format("Webhooks"),
        "OIDC_ISSUER": "https://accounts.google.com",
        "OIDC_CLIENT_ID": "1234.apps.googleusercontent.com",
        # One secret with two keys.
        "OIDC_CLIENT_SECRET_ARN": SECRET.format("Login"),
        "SESSION_SECRET_ARN": SECRET.format("Login"),
        "PUBLIC_URL": "https://metrics.example.com/delivery/v1/app/",
        "OIDC_SCOPES": "openid email profile groups",
        "OIDC_GROUPS_CLAIM": "roles",
        "CHANGES_QUEUE_URL": full["Changes"],
        "AUTHORIZER": "key",
        "GATEWAY_KEY_SCOPE": "metrics:read",
        "CORS_ORIGIN": "https://dashboards.example.com,http://localhost:5173",
        "REQUEST_TIMEOUT_SECONDS": "8",
        "COLLECT_EVERY_HOURS": "1",
    }


def test_requests_go_to_a_published_version_by_the_alias_live(usual, full):
    functions = emulator.client("lambda")
    for stack in (usual, full):
        alias = functions.get_alias(FunctionName=f"{stack.name}-api", Name="live")
        published = functions.get_function_configuration(FunctionName=f"{stack.name}-api", Qualifier="live")
        assert alias["FunctionVersion"] == published["Version"] != "$LATEST"
        assert published["Environment"] == stack.function("Api")["Environment"]
        policy = json.loads(functions.get_policy(FunctionName=f"{stack.name}-api", Qualifier="live")["Policy"])
        assert {it["Principal"]["Service"] for it in policy["Statement"]} == {"apigateway.amazonaws.com"}
        assert len(policy["Statement"]) == 8


def test_a_rollout_goes_in_the_given_steps_and_alarms_stop_it(usual, full):
    deploy = emulator.client("codedeploy")
    for stack, steps in ((usual, "Canary10Percent5Minutes"), (full, "Linear10PercentEvery1Minute")):
        group = deploy.get_deployment_group(
            applicationName=stack["ServerlessDeploymentApplication"], deploymentGroupName=stack["ApiDeploymentGroup"]
        )["deploymentGroupInfo"]
        assert group["deploymentConfigName"] == f"CodeDeployDefault.Lambda{steps}"
        guards = emulator.guards_of(stack["ServerlessDeploymentApplication"], stack["ApiDeploymentGroup"])
        assert guards == [stack["ApiCrashing"], stack["ApiFailing"]]
        assert group["serviceRoleArn"].endswith(stack["RolloutRole"])
        api = stack.function("Api")["FunctionArn"]
        assert ("lambda:UpdateAlias", api) in stack.role("RolloutRole")
        reached = {resource for action, resource in stack.role("RolloutRole") if action.startswith("lambda:")}
        assert reached == {api, f"{api}:*"}


def test_the_api_has_a_limit_of_sandboxes_where_one_is_given(usual, full):
    functions = emulator.client("lambda")
    assert functions.get_function_concurrency(FunctionName=full["Api"])["ReservedConcurrentExecutions"] == 20
    assert not functions.get_function_concurrency(FunctionName=usual["Api"]).get("ReservedConcurrentExecutions")


def test_functions_are_in_the_given_network_or_in_none(usual, full):
    assert not usual.function("Api").get("VpcConfig", {}).get("SubnetIds")
    for name in ("Collector", "Api"):
        assert len(full.function(name)["VpcConfig"]["SubnetIds"]) == 2
        assert len(full.function(name)["VpcConfig"]["SecurityGroupIds"]) == 1
        iam = emulator.client("iam")
        attached = iam.list_attached_role_policies(RoleName=full[f"{name}Role"])["AttachedPolicies"]
        assert [policy["PolicyArn"] for policy in attached] == [full["NetworkPolicy"]]
        assert iam.list_attached_role_policies(RoleName=usual[f"{name}Role"])["AttachedPolicies"] == []


def test_functions_may_do_what_they_do_and_no_more(usual, full):
    queue = {name: usual.queue(name)["QueueArn"] for name in ("Work", "DeadLetters", "MissedRuns")}
    collector, api = usual.role("CollectorRole"), usual.role("ApiRole")
    assert {resource for action, resource in collector if action == "secretsmanager:GetSecretValue"} == {
        usual["GitHubSecret"],
        usual["DatabaseSecret"],
    }
    assert {resource for action, resource in collector if action == "sqs:SendMessage"} == set(queue.values())
    assert {resource for action, resource in collector if action == "sqs:ReceiveMessage"} == {queue["Work"]}
    traces = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    for stack, allowed in ((usual, set()), (full, traces)):
        assert {action for action, resource in stack.role("ApiRole") if resource == "*"} == allowed
        metrics = {"cloudwatch:PutMetricData"}
        assert {action for action, resource in stack.role("CollectorRole") if resource == "*"} == allowed | metrics
    assert {resource for action, resource in api if action == "secretsmanager:GetSecretValue"} == {
        usual["DatabaseSecret"]
    }
    assert {resource for action, resource in full.role("ApiRole") if action == "secretsmanager:GetSecretValue"} == {
        SECRET.format("Reader"),
        SECRET.format("ApiKeys"),
        SECRET.format("Webhooks"),
        SECRET.format("Login"),
        SECRET.format("Otlp"),
    }
    assert ("secretsmanager:GetSecretValue", SECRET.format("Otlp")) in full.role("CollectorRole")
    assert not any(action.startswith("sqs:") for action, _ in api)
    changes = full.queue("Changes")["QueueArn"]
    assert {(action, resource) for action, resource in full.role("ApiRole") if action.startswith("sqs:")} == {
        ("sqs:SendMessage", changes)
    }
    assert ("sqs:ReceiveMessage", changes) in full.role("CollectorRole")


@pytest.fixture(scope="module")
def prepared(aws):
    """A stack that had one login, before it uses three."""
    names = ("DatabaseSecretArn", "DatabaseWriterSecretArn", "DatabaseReaderSecretArn")
    return Stack("mergeline-prepared", {name: EVERYTHING_GIVEN[name] for name in names} | {"DatabaseLogins": "prepared"})


def secrets_of(stack, role):
    return {resource for action, resource in stack.role(role) if action == "secretsmanager:GetSecretValue"}


def test_only_the_migrator_reads_the_owners_secret(full):
    owner, writer, reader, headers = (SECRET.format(name) for name in ("Database", "Writer", "Reader", "Otlp"))
    assert secrets_of(full, "MigratorRole") == {owner, writer, reader, headers}
    channels = {SECRET.format("Channels"), SECRET.format("Smtp")}
    assert secrets_of(full, "CollectorRole") == {writer, headers, full["GitHubSecret"]} | channels
    assert secrets_of(full, "ApiRole") & {owner, writer, reader} == {reader}
    logins = {"DB_URL_SECRET_ARN": owner, "DB_WRITER_URL_SECRET_ARN": writer, "DB_READER_URL_SECRET_ARN": reader}
    assert logins.items() <= full.variables("Migrator").items()
    assert full["Migrator"] in full.outputs["Migrate"]
    assert full.outputs["MigratorFunction"] == full["Migrator"]
    assert len(full.function("Migrator")["VpcConfig"]["SubnetIds"]) == 2
    # Its right to decrypt, its rights to logs and traces, and no queue.
    assert {action.split(":")[0] for action, _ in full.role("MigratorRole")} == {"kms", "logs", "secretsmanager", "xray"}
    assert emulator.client("lambda").list_event_source_mappings(FunctionName=full["Migrator"])["EventSourceMappings"] == []


def test_a_stack_with_one_login_makes_the_others_before_it_uses_them(prepared):
    assert prepared.status == "CREATE_COMPLETE"
    owner, writer, reader = (SECRET.format(name) for name in ("Database", "Writer", "Reader"))
    assert secrets_of(prepared, "MigratorRole") == {owner, writer, reader}
    for name in ("Collector", "Api"):
        assert prepared.variables(name)["DB_URL_SECRET_ARN"] == owner
        assert secrets_of(prepared, f"{name}Role") & {owner, writer, reader} == {owner}
    assert prepared["Migrator"] in prepared.outputs["Migrate"]


def test_webhooks_are_throttled_and_closed_without_secrets(usual, full):
    for stack, rate, burst in ((usual, 0, 0), (full, 100, 200)):
        stage = emulator.client("apigateway").get_stage(restApiId=stack["Gateway"], stageName="v1")
        (settings,) = [it for place, it in stage["methodSettings"].items() if "webhook" in place]
        assert (settings["throttlingRateLimit"], settings["throttlingBurstLimit"]) == (rate, burst)


def test_the_page_is_compressed_and_throttled(usual, full):
    gateway = emulator.client("apigateway")
    api = gateway.get_rest_api(restApiId=usual["Gateway"])
    assert api["minimumCompressionSize"] == 1024
    assert not api.get("binaryMediaTypes")
    for deployed, of_session, of_keys in ((usual, (0, 0), (100, 200)), (full, (20, 60), (30, 60))):
        stage = gateway.get_stage(restApiId=deployed["Gateway"], stageName="v1")
        limits = sorted(
            (it["throttlingRateLimit"], it["throttlingBurstLimit"])
            for place, it in stage["methodSettings"].items()
            if "webhook" not in place
        )
        assert limits == sorted([(50, 200)] * 6 + [of_session] * 4 + [of_keys] * 4)
    assert full.outputs["PageUrl"] == full.variables("Api")["PUBLIC_URL"]
    assert usual.outputs["PageUrl"] == usual.outputs["ApiUrl"] + "/app/"


def test_changes_go_to_the_collector_by_a_queue_of_their_own(full):
    mapping = emulator.client("lambda").get_event_source_mapping(UUID=full["CollectorChanges"])
    assert mapping["EventSourceArn"] == full.queue("Changes")["QueueArn"]
    assert mapping["FunctionArn"] == full.function("Collector")["FunctionArn"]
    dead = full.queue("ChangeDeadLetters")
    assert json.loads(full.queue("Changes")["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
    assert full.outputs["WebhookUrl"].endswith("/v1/webhook/github")


def test_messages_are_looked_for_and_sent_by_the_collector(full):
    mapping = emulator.client("lambda").get_event_source_mapping(UUID=full["CollectorMessages"])
    assert mapping["EventSourceArn"] == full.queue("Messages")["QueueArn"]
    assert mapping["BatchSize"] == 1
    dead = full.queue("MessageDeadLetters")
    assert json.loads(full.queue("Messages")["RedrivePolicy"])["deadLetterTargetArn"] == dead["QueueArn"]
    schedule = emulator.client("scheduler").get_schedule(Name=full["NotifySchedule"].rsplit("|", 1)[-1])
    assert schedule["ScheduleExpression"] == "rate(15 minutes)"
    assert schedule["Target"]["Arn"] == full.function("Collector")["FunctionArn"]
    assert json.loads(schedule["Target"]["Input"]) == {"action": "notify"}
    collector = full.role("CollectorRole")
    for secret in ("Channels", "Smtp"):
        assert ("secretsmanager:GetSecretValue", SECRET.format(secret)) in collector
    assert ("sqs:ReceiveMessage", full.queue("Messages")["QueueArn"]) in collector
    # Mail goes by SMTP.
    assert not any(action.startswith("ses:") for action, _ in collector)


def test_mail_by_ses_is_sent_as_one_sender(by_ses, usual):
    identities = f"arn:aws:ses:{emulator.REGION}:123456789012:identity/*"
    assert ("ses:SendEmail", identities) in by_ses.role("CollectorRole")
    assert by_ses.variables("Collector")["MAIL_FROM"] == "mergeline@example.com"
    assert not any(action.startswith("ses:") for action, _ in usual.role("CollectorRole"))


def test_secrets_of_two_stacks_have_two_names(usual, full):
    secrets = emulator.client("secretsmanager")
    names = {name: secrets.describe_secret(SecretId=usual[name])["Name"] for name in ("GitHubSecret", "DatabaseSecret")}
    assert names == {"GitHubSecret": "mergeline-usual/github", "DatabaseSecret": "mergeline-usual/database"}
    assert secrets.describe_secret(SecretId=full["GitHubSecret"])["Name"] == "mergeline-full/github"


def test_a_given_key_encrypts_everything_that_is_kept(usual, full):
    (given,) = [it["KeyArn"] for it in emulator.client("kms").list_keys()["Keys"]]
    logs, secrets, sns = (emulator.client(name) for name in ("logs", "secretsmanager", "sns"))
    for stack, wanted in ((usual, None), (full, given)):
        queues = {"Work", "DeadLetters", "MissedRuns", "Changes", "ChangeDeadLetters", "Messages", "MessageDeadLetters"}
        for name in queues & set(stack.resources):
            assert stack.queue(name).get("KmsMasterKeyId") == wanted
            # With a key, AWS turns its own off, and moto does not.
            assert wanted or stack.queue(name)["SqsManagedSseEnabled"] == "true"
        for name in ("AlarmTopic", "NoticeTopic"):
            assert sns.get_topic_attributes(TopicArn=stack[name])["Attributes"].get("KmsMasterKeyId") == wanted
        for name in {"CollectorLogs", "MigratorLogs", "ApiLogs", "AccessLog"} & set(stack.resources):
            (group,) = logs.describe_log_groups(logGroupNamePrefix=stack[name])["logGroups"]
            assert group.get("kmsKeyId") == wanted
        assert secrets.describe_secret(SecretId=stack["GitHubSecret"]).get("KmsKeyId") == wanted
        for role in {"CollectorRole", "MigratorRole", "ApiRole", "CollectorScheduleRole"} & set(stack.resources):
            allowed = {(action, place) for action, place in stack.role(role) if action.startswith("kms:")}
            assert allowed == ({("kms:Decrypt", given), ("kms:GenerateDataKey", given)} if wanted else set())


def test_secrets_are_empty(usual):
    secrets = emulator.client("secretsmanager")
    for name in ("GitHubSecret", "DatabaseSecret"):
        assert secrets.describe_secret(SecretId=usual[name])["Description"].startswith("Mergeline - ")
        with pytest.raises(secrets.exceptions.ResourceNotFoundException):
            secrets.get_secret_value(SecretId=usual[name])


def test_logs_end(usual, full):
    for stack, days, groups in (
        (usual, 30, ["CollectorLogs", "ApiLogs"]),
        (full, 90, ["CollectorLogs", "MigratorLogs", "ApiLogs", "AccessLog"]),
    ):
        for name in groups:
            (group,) = emulator.client("logs").describe_log_groups(logGroupNamePrefix=stack[name])["logGroups"]
            assert group["retentionInDays"] == days


PAGE = {(path, verb) for path in ("/", "/app", "/app/{proxy+}") for verb in ("GET", "HEAD")}
PAGE |= {("/app/api/{proxy+}", "GET"), ("/app/api/{proxy+}", "HEAD"), ("/app/logout", "POST")}
BESIDE = {("/webhook/{plugin}", "POST"), ("/{proxy+}", "OPTIONS")}
DATA = {("/{proxy+}", verb) for verb in ("GET", "HEAD", "POST", "PUT")}


def methods_of(stack):
    """Every method of the API, by path and verb."""
    gateway, api = emulator.client("apigateway"), stack["Gateway"]
    return {
        (resource["path"], verb): gateway.get_method(restApiId=api, resourceId=resource["id"], httpMethod=verb)
        for resource in gateway.get_resources(restApiId=api, limit=500)["items"]
        for verb in resource.get("resourceMethods", {})
    }


def test_where_requests_are_signed_there_is_no_key_and_a_page_only_with_a_login(signed, signed_with_page):
    gateway = emulator.client("apigateway")
    for stack, page in ((signed, set()), (signed_with_page, PAGE)):
        assert stack.status == "CREATE_COMPLETE"
        methods = methods_of(stack)
        assert set(methods) == page | BESIDE | DATA
        for place, method in methods.items():
            asks = (method["apiKeyRequired"], method["authorizationType"])
            assert asks == (False, "AWS_IAM" if place in DATA else "NONE"), place
        assert not {"UsagePlan", "UsagePlanKey", "ApiKey"} & set(stack.resources)
        assert not {"ReadTheApiKey", "UsagePlanId"} & set(stack.outputs)
        assert ("PageUrl" in stack.outputs) is bool(page)
        assert stack.variables("Api")["AUTHORIZER"] == "iam"
        # Of what is not there, nothing is limited.
        limits = gateway.get_stage(restApiId=stack["Gateway"], stageName="v1")["methodSettings"]
        assert len(limits) == len(methods)
        assert "aws:amz:eu-north-1:execute-api" in stack.outputs["AskForTheTeams"]
        assert stack.outputs["AskForTheTeams"].endswith(f"--config - {stack.outputs['ApiUrl']}/teams")
        responses = gateway.get_gateway_responses(restApiId=stack["Gateway"])["items"]
        (unsigned,) = [it for it in responses if it["responseType"] == "MISSING_AUTHENTICATION_TOKEN"]
        assert unsigned["statusCode"] == "403"


def test_where_tokens_are_sent_the_gateway_asks_for_nothing_and_bounds_strangers(by_token, by_token_with_page):
    gateway = emulator.client("apigateway")
    for stack, page, rate, burst in ((by_token, set(), 9, 18), (by_token_with_page, PAGE, 20, 60)):
        assert stack.status == "CREATE_COMPLETE"
        methods = methods_of(stack)
        assert set(methods) == page | BESIDE | DATA
        for place, method in methods.items():
            assert (method["apiKeyRequired"], method["authorizationType"]) == (False, "NONE"), place
        assert not {"UsagePlan", "UsagePlanKey", "ApiKey"} & set(stack.resources)
        assert not {"ReadTheApiKey", "UsagePlanId"} & set(stack.outputs)
        assert ("PageUrl" in stack.outputs) is bool(page)
        limits = gateway.get_stage(restApiId=stack["Gateway"], stageName="v1")["methodSettings"]
        assert len(limits) == len(methods)
        for verb in ("GET", "HEAD", "POST", "PUT"):
            limit = limits[f"~1{{proxy+}}/{verb}"]
            assert (limit["throttlingRateLimit"], limit["throttlingBurstLimit"]) == (rate, burst), verb
        ask = f"""printf 'header = "authorization: Bearer %s"' "$TOKEN" | curl -sS --config - {stack.outputs['ApiUrl']}/teams"""
        assert stack.outputs["AskForTheTeams"] == ask
        responses = gateway.get_gateway_responses(restApiId=stack["Gateway"])["items"]
        (other,) = [it for it in responses if it["responseType"] == "MISSING_AUTHENTICATION_TOKEN"]
        assert other["statusCode"] == "405"
    variables = by_token.variables("Api")
    assert {name: variables.get(name) for name in ("AUTHORIZER", "JWT_ISSUER", "JWT_AUDIENCE", "OIDC_GROUPS_CLAIM")} == {
        "AUTHORIZER": "jwt",
        "JWT_ISSUER": TOKENS["JwtIssuer"],
        "JWT_AUDIENCE": TOKENS["JwtAudience"],
        "OIDC_GROUPS_CLAIM": "roles",
    }
    variables = by_token_with_page.variables("Api")
    assert "JWT_ISSUER" not in variables
    assert (variables["OIDC_ISSUER"], variables["JWT_AUDIENCE"]) == (EVERYTHING_GIVEN["OidcIssuer"], TOKENS["JwtAudience"])


def test_each_function_is_let_in_by_iam_as_its_own_login_only(by_iam, full):
    assert by_iam.status == "CREATE_COMPLETE"
    variables = {name: by_iam.variables(name).get("DB_LOGIN") for name in ("Collector", "Api", "Migrator")}
    assert variables == {"Collector": "iam", "Api": "iam", "Migrator": "iam"}
    database = "arn:aws:rds-db:eu-north-1:123456789012:dbuser:db-ABCDEFGHIJKL0123"
    for name, login in (("Collector", "mergeline_writer"), ("Api", "numbers"), ("Migrator", None)):
        found = {right for right in by_iam.role(f"{name}Role") if right[0].startswith("rds-db:")}
        assert found == ({("rds-db:connect", f"{database}/{login}")} if login else set()), name
    # Without it, the function that migrates takes the right back, and nobody has one.
    assert full.variables("Migrator")["DB_LOGIN"] == "secret"
    assert not {"DB_LOGIN"} & {*full.variables("Collector"), *full.variables("Api")}
    for name in ("Collector", "Api", "Migrator"):
        assert not [right for right in full.role(f"{name}Role") if right[0].startswith("rds-db:")]


@pytest.mark.parametrize("kind", ["instance", "serverless"])
@pytest.mark.parametrize("way", ["yes", "no"])
def test_a_database_lets_logins_in_by_iam_where_that_is_asked_for(kind, way, aws):
    stack, _ = database(f"mergeline-iam-{kind}-{way}", Kind=kind, IamLogin=way)
    assert stack.status == "CREATE_COMPLETE"
    rds = emulator.client("rds")
    if kind == "instance":
        (facts,) = rds.describe_db_instances(DBInstanceIdentifier=stack["Instance"])["DBInstances"]
        known = facts["DbiResourceId"]
    else:
        (facts,) = rds.describe_db_clusters(DBClusterIdentifier=stack["Cluster"])["DBClusters"]
        known = facts["DbClusterResourceId"]
    assert facts["IAMDatabaseAuthenticationEnabled"] is (way == "yes")
    assert stack.outputs.get("DatabaseResourceId") == (known if way == "yes" else None)


def test_a_signature_of_another_account_opens_nothing(signed, signed_with_page):
    everybody = {"execute-api:/v1/POST/webhook/*"}
    of_page = {f"execute-api:/v1/{it}" for it in policies.OF_PAGE}
    for stack, opened in ((signed, everybody), (signed_with_page, everybody | of_page)):
        policy = emulator.client("apigateway").get_rest_api(restApiId=stack["Gateway"])["policy"]
        own, *rest = json.loads(policy)["Statement"]
        assert (own["Principal"], own["Resource"]) == ({"AWS": "123456789012"}, "execute-api:/*")
        allowed = [it for it in rest if it["Effect"] == "Allow"]
        assert {it["Principal"] for it in allowed} == {"*"}
        assert {resource for it in allowed for resource in nodes.listed(it["Resource"])} == opened
        assert [it["Condition"] for it in rest if it["Effect"] == "Deny"] == [
            {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24"]}}
        ]


def test_the_api_asks_for_a_key_and_bounds_what_it_is_good_for(usual, full):
    gateway = emulator.client("apigateway")
    for stack, rate, burst, quota in ((usual, 10, 20, 100000), (full, 3, 7, 5000)):
        api = stack["Gateway"]
        methods = methods_of(stack)
        assert set(methods) == PAGE | BESIDE | DATA
        for place, method in methods.items():
            assert (method["apiKeyRequired"], method["authorizationType"]) == (place in DATA, "NONE")
            assert method["methodIntegration"]["type"] == "AWS_PROXY"
            assert f"/{stack.function('Api')['FunctionArn']}:live/" in method["methodIntegration"]["uri"]
        plan = gateway.get_usage_plan(usagePlanId=stack["UsagePlan"])
        assert plan["apiStages"] == [{"apiId": api, "stage": "v1"}]
        assert plan["throttle"] == {"rateLimit": rate, "burstLimit": burst}
        assert (plan["quota"]["limit"], plan["quota"]["period"]) == (quota, "MONTH")
        (key,) = gateway.get_usage_plan_keys(usagePlanId=stack["UsagePlan"])["items"]
        assert key["id"] == stack["ApiKey"]
        made = gateway.get_api_key(apiKey=stack["ApiKey"], includeValue=True)
        assert made["enabled"] is True
        assert len(made["value"]) >= 20


def test_what_the_gateway_says_by_itself_is_in_our_form(usual):
    gateway = emulator.client("apigateway")
    responses = gateway.get_gateway_responses(restApiId=usual["Gateway"])["items"]
    by_kind = {response["responseType"]: response for response in responses}
    for kind, (code, status) in policies.GATEWAY_ERRORS.items():
        error = json.loads(by_kind[kind]["responseTemplates"]["application/json"])["error"]
        assert error["code"] == code
        assert by_kind[kind].get("statusCode") == status
    for kind in ("THROTTLED", "QUOTA_EXCEEDED", "INTEGRATION_FAILURE"):
        assert int(by_kind[kind]["responseParameters"]["gatewayresponse.header.Retry-After"].strip("'")) > 0


def test_the_stage_is_v1_and_logs_who_asked(usual, full):
    gateway = emulator.client("apigateway")
    (stage,) = gateway.get_stages(restApiId=full["Gateway"])["item"]
    assert stage["stageName"] == "v1"
    assert stage["tracingEnabled"] is True
    assert gateway.get_stage(restApiId=usual["Gateway"], stageName="v1")["tracingEnabled"] is False
    assert full["AccessLog"] in stage["accessLogSettings"]["destinationArn"]
    assert "$context.requestId" in stage["accessLogSettings"]["format"]
    assert "accessLogSettings" not in gateway.get_stage(restApiId=usual["Gateway"], stageName="v1")
    assert gateway.get_account()["cloudwatchRoleArn"].endswith(full["ApiGatewayLogsRole"])
    (metric_filter,) = emulator.client("logs").describe_metric_filters(logGroupName=full["AccessLog"])["metricFilters"]
    assert metric_filter["metricTransformations"][0]["metricNamespace"] == "Mergeline/mergeline-full"


def test_what_api_gateway_names_itself_is_tagged_with_the_stack(usual):
    gateway = emulator.client("apigateway")
    for made in (
        gateway.get_rest_api(restApiId=usual["Gateway"]),
        gateway.get_stage(restApiId=usual["Gateway"], stageName="v1"),
        gateway.get_api_key(apiKey=usual["ApiKey"]),
        gateway.get_usage_plan(usagePlanId=usual["UsagePlan"]),
    ):
        assert made["tags"]["mergeline-stack"] == usual.name


def test_alarms_look_at_this_stack_and_tell_their_topic(usual, full):
    for stack in (usual, full):
        for name in set(policies.ALARMS.values()) & set(stack.resources):
            alarm = stack.alarm(name)
            topic = stack["NoticeTopic" if name in policies.CAN_WAIT else "AlarmTopic"]
            assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]
            assert alarm["ActionsEnabled"] is True
            metrics = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
            for metric in metrics or [alarm] * ("AlarmRule" not in alarm):
                assert metric["Namespace"].startswith("AWS/") or metric["Namespace"] == f"Mergeline/{stack.name}"
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in usual.alarm("ApiFailing")["Dimensions"]}
    assert dimensions == {"ApiName": usual.name, "Stage": "v1"}
    (dimension,) = usual.alarm("DeadLettersWaiting")["Dimensions"]
    assert dimension["Value"] == usual["DeadLetters"].rsplit("/", 1)[-1]
    (dimension,) = full.alarm("DatabaseConnections")["Dimensions"]
    assert dimension == {"Name": "DBInstanceIdentifier", "Value": "mergeline-database"}
    assert full.alarm("DatabaseConnections")["Threshold"] == 40
    assert (usual.alarm("DataStale")["Threshold"], full.alarm("DataStale")["Threshold"]) == (9, 30)
    assert (usual.alarm("RunMissing")["EvaluationPeriods"], full.alarm("RunMissing")["EvaluationPeriods"]) == (9, 3)
    assert (usual.alarm("RateLimitLow")["Period"], full.alarm("RateLimitLow")["Period"]) == (14400, 3600)
    assert usual.alarm("RunMissing")["TreatMissingData"] == "breaching"
    rule = f'ALARM("{usual["RunMissing"]}") AND ALARM("{usual["FirstRunCompleted"]}")'
    assert usual.alarm("NoRunCompleted")["AlarmRule"] == rule


def test_a_stack_to_develop_with_has_two_alarms_and_pays_for_no_metric(little):
    assert little.status == "CREATE_COMPLETE"
    watching = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::Dashboard"}
    kinds = {name: it["Type"] for name, it in translated()["Resources"].items()}
    made = {name for name in little.resources if kinds[name] in watching | {"AWS::Logs::MetricFilter"}}
    assert made == policies.MINIMAL
    for name in made:
        assert little.alarm(name)["Namespace"].startswith("AWS/")
    assert "METRICS_NAMESPACE" not in little.variables("Collector")
    assert not any(action.startswith("cloudwatch:") for action, _ in little.role("CollectorRole"))
    assert "DashboardUrl" not in little.outputs
    guards = emulator.guards_of(little["ServerlessDeploymentApplication"], little["ApiDeploymentGroup"])
    assert guards == [little["ApiFailing"]]


def test_an_address_that_is_given_is_written_to(usual, full):
    sns = emulator.client("sns")
    for topic in ("AlarmTopic", "NoticeTopic"):
        assert sns.list_subscriptions_by_topic(TopicArn=usual[topic])["Subscriptions"] == []
        (subscription,) = sns.list_subscriptions_by_topic(TopicArn=full[topic])["Subscriptions"]
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_only_this_accounts_alarms_publish(full):
    for name in ("AlarmTopic", "NoticeTopic"):
        attributes = emulator.client("sns").get_topic_attributes(TopicArn=full[name])["Attributes"]
        (statement,) = json.loads(attributes["Policy"])["Statement"]
        assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_too_many_invocations_are_those_of_the_parameter(usual, full):
    assert (usual.alarm("InvocationsHigh")["Threshold"], full.alarm("InvocationsHigh")["Threshold"]) == (10000, 5000)


def test_a_budget_writes_what_was_spent_and_what_will_be(aws):
    emulator.client("cloudformation").create_stack(
        StackName="mergeline-budget",
        TemplateBody=json.dumps(source("infra/budget.yaml")),
        Parameters=[
            {"ParameterKey": "MonthlyBudget", "ParameterValue": "25"},
            {"ParameterKey": "AlarmEmail", "ParameterValue": "ops@example.com"},
        ],
    )
    budgets = emulator.client("budgets")
    (made,) = budgets.describe_budgets(AccountId="123456789012")["Budgets"]
    assert made["BudgetLimit"] == {"Amount": "25", "Unit": "USD"}
    assert made["CostFilters"] == {"TagKeyValue": ["user:project$mergeline"]}
    of = {"AccountId": "123456789012", "BudgetName": made["BudgetName"]}
    assert {it["NotificationType"] for it in budgets.describe_notifications_for_budget(**of)["Notifications"]} == {
        "ACTUAL",
        "FORECASTED",
    }


OF_PROXY = {"Proxy", "ProxySecurityGroup", "ProxyMayConnect", "ProxyRole"}


@pytest.mark.parametrize(
    ("kind", "leads", "to"),
    [("instance", "ProxyToInstance", "Instance"), ("serverless", "ProxyToCluster", "Cluster")],
)
def test_a_proxy_leads_the_functions_logins_to_the_database(kind, leads, to, aws):
    given = {"Kind": kind, "DatabaseProxy": "yes"} | key()
    stack, functions = database(f"mergeline-{kind}", **given)
    assert stack.status == "CREATE_COMPLETE"
    assert OF_PROXY | {leads, to} <= set(stack.resources)
    rds, ec2 = emulator.client("rds"), emulator.client("ec2")
    (proxy,) = rds.describe_db_proxies(DBProxyName=stack["Proxy"])["DBProxies"]
    assert (proxy["EngineFamily"], proxy["RequireTLS"], proxy["DebugLogging"]) == ("POSTGRESQL", True, False)
    # Migrating goes past it.
    known = {it["SecretArn"] for it in proxy["Auth"]}
    assert known == {stack.outputs["DatabaseWriterSecretArn"], stack.outputs["DatabaseReaderSecretArn"]}
    assert stack.role("ProxyRole") == {("secretsmanager:GetSecretValue", secret) for secret in known} | {
        ("kms:Decrypt", given["KmsKeyArn"])
    }
    (target,) = rds.describe_db_proxy_targets(DBProxyName=stack["Proxy"])["Targets"]
    assert target["RdsResourceId"] == stack[to]
    (group,) = rds.describe_db_proxy_target_groups(DBProxyName=stack["Proxy"])["TargetGroups"]
    assert group["ConnectionPoolConfig"]["MaxConnectionsPercent"] == 75
    assert stack.outputs["DatabaseProxyHost"] == proxy["Endpoint"]
    secret = emulator.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DatabaseReaderSecretArn"])
    read = json.loads(secret["SecretString"])
    assert (read["username"], read["host"]) == ("mergeline_reader", stack.outputs["Host"])
    assert len(read["password"]) == 40

    def comes_from(name):
        (group,) = ec2.describe_security_groups(GroupIds=[stack[name]])["SecurityGroups"]
        pairs = [(rule, pair) for rule in group["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
        return {(pair["GroupId"], rule["FromPort"], rule["ToPort"]) for rule, pair in pairs}

    assert proxy["VpcSecurityGroupIds"] == [stack["ProxySecurityGroup"]]
    assert comes_from("ProxySecurityGroup") == {(functions, 5432, 5432)}
    assert comes_from("SecurityGroup") == {(functions, 5432, 5432), (stack["ProxySecurityGroup"], 5432, 5432)}


def test_a_database_has_no_proxy_unless_one_is_asked_for(aws):
    stack, _ = database("mergeline-plain")
    assert stack.status == "CREATE_COMPLETE"
    assert not (OF_PROXY | {"ProxyToInstance", "ProxyToCluster", "Cluster", "MonitoringRole"}) & set(stack.resources)
    assert "DatabaseProxyHost" not in stack.outputs


def test_the_dashboard_shows_the_alarms_and_numbers_of_this_stack(usual, full):
    for stack in (usual, full):
        body = emulator.client("cloudwatch").get_dashboard(DashboardName=stack.name)["DashboardBody"]
        widgets = json.loads(body)["widgets"]
        (shown,) = [widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm"]
        alarms = [stack.alarm(name)["AlarmArn"] for name in policies.ALARMS.values() if name in stack.resources]
        assert sorted(shown) == sorted(alarms)
        assert "${" not in body
        assert (f'"FunctionName", "{stack["Collector"]}"') in body


def test_outputs_can_be_pasted(usual, full):
    assert set(full.outputs) == set(usual.outputs) - {"StoreTheDatabaseUrl"} | {
        "DomainTarget",
        "WebhookUrl",
    }
    assert usual.outputs["ApiUrl"] == f"https://{usual['Gateway']}.execute-api.eu-north-1.amazonaws.com/v1"
    assert usual["ApiKey"] in usual.outputs["ReadTheApiKey"]
    assert usual["Collector"] in usual.outputs["Migrate"]
    assert usual.outputs["MigratorFunction"] == usual["Collector"]
    assert usual.outputs["DashboardUrl"].endswith("#dashboards/dashboard/mergeline-usual")
    assert usual["DatabaseSecret"] in usual.outputs["StoreTheDatabaseUrl"]
    assert (usual.outputs["AlarmTopicArn"], usual.outputs["NoticeTopicArn"]) == (
        usual["AlarmTopic"],
        usual["NoticeTopic"],
    )
    assert all("${" not in value for value in usual.outputs.values())
