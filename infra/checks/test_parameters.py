"""What may be given to the templates, and what samconfig.toml gives."""

import re
import tomllib
from importlib import import_module

import pytest
from nodes import names_in
from policies import JUDGED
from translate import ROOT, source

PARAMETERS = [(path, name) for path in JUDGED for name in source(path)["Parameters"]]


def refused(parameter, value):
    """Why CloudFormation would not take a value."""
    value = str(value)
    if parameter["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            return "no number"
        if not parameter.get("MinValue", number) <= number <= parameter.get("MaxValue", number):
            return "out of range"
    if "AllowedValues" in parameter and value not in map(str, parameter["AllowedValues"]):
        return "not one of the values"
    if "AllowedPattern" in parameter and not re.fullmatch(parameter["AllowedPattern"], value):
        return "another form"
    return None


def holds(condition, given):
    """Whether a rule's condition holds for these parameters."""
    ((function, arguments),) = condition.items()
    if function == "Fn::Equals":
        one, other = (given[it["Ref"]] if isinstance(it, dict) else str(it) for it in arguments)
        return one == other
    results = [holds(argument, given) for argument in arguments]
    return {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda parts: not parts[0]}[function](results)


def broken_rules(template, **given):
    values = {name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()} | given
    return [
        name
        for name, rule in template["Rules"].items()
        if holds(rule.get("RuleCondition", {"Fn::Equals": ["", ""]}), values)
        and not all(holds(assertion["Assert"], values) for assertion in rule["Assertions"])
    ]


@pytest.mark.parametrize(("path", "name"), PARAMETERS)
def test_a_parameter_is_used_explained_and_bounded(path, name):
    template = source(path)
    parameter = template["Parameters"][name]
    used = {used for part in ("Globals", "Resources", "Conditions") for used in names_in(template.get(part, {}))}
    assert name in used
    assert parameter["Description"]
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    groups = [group for group in interface["ParameterGroups"] if name in group["Parameters"]]
    assert len(groups) == 1
    assert interface["ParameterLabels"][name]["default"]
    bounds = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
    assert bounds or parameter["Type"].startswith(("AWS::", "List<AWS::"))
    if "AllowedPattern" in parameter:
        assert parameter["ConstraintDescription"]
    if "Default" in parameter:
        assert refused(parameter, parameter["Default"]) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GitHubApiUrl", "http://github.example.com/api/v3"),
        ("GitHubApiUrl", "https://user@github.example.com"),
        ("GitHubAppId", "ghp_abc"),
        ("BackfillDays", "0"),
        ("LedgerDays", "29"),
        ("WorkersAtOnce", "1"),
        ("RequestTimeoutSeconds", "29"),
        ("DatabaseSecretArn", "postgres://user:password@host/db"),
        ("DatabaseSecretArn", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:db"),
        ("DatabaseWriterSecretArn", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:writer"),
        ("DatabaseReaderSecretArn", "postgres://user:password@host/db"),
        ("DatabaseLogins", "one"),
        ("DatabaseProxyHost", "postgres://proxy.example.com"),
        ("DatabaseProxyHost", "proxy.example.com:5432"),
        ("DatabaseProxyHost", "localhost"),
        ("ApiKeysSecretArn", "arn:aws:s3:::bucket"),
        ("ApiKeysSecretArn", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:api-keys"),
        ("WebhookSecretsSecretArn", "It's a Secret to Everybody"),
        ("WebhookSecretsSecretArn", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:webhooks"),
        ("ChannelsSecretArn", "https://hooks.slack.com/services/T0/B0/x"),
        ("ChannelsSecretArn", "arn:aws:secretsmanager:eu-north-1:123456789012:secret:channels"),
        ("ChannelHosts", "https://chat.example.com"),
        ("ChannelHosts", "chat.example.com/x"),
        ("ChannelHosts", "chat.example.com, other.example.com"),
        ("MailFrom", "Mergeline <mergeline@example.com>"),
        ("MailFrom", "mergeline"),
        ("SmtpSecretArn", "smtps://user:password@mail.example.com"),
        ("OidcIssuer", "http://id.example.com"),
        ("OidcIssuer", "accounts.google.com"),
        ("OidcIssuer", "https://user:password@id.example.com"),
        ("OidcClientId", "two words"),
        ("LoginSecretArn", "a secret"),
        ("PublicUrl", "https://metrics.example.com"),
        ("PublicUrl", "http://metrics.example.com/app/"),
        ("PublicUrl", "https://metrics.example.com/app"),
        ("OidcScopes", ""),
        ("OidcGroupsClaim", "two words"),
        ("DatabaseRootCertificate", "../rds.pem"),
        ("DatabaseRootCertificate", "/etc/rds.pem"),
        ("HttpsProxy", "http://user:password@proxy.example.com:3128"),
        ("HttpsProxy", "socks5://proxy.example.com:1080"),
        ("HttpsProxy", "proxy.example.com"),
        ("NoProxy", "a.example.com, b.example.com"),
        ("TrustedAuthorities", "/etc/ssl/certs/ca-certificates.crt"),
        ("SubnetIds", "subnet-0a,sg-0b"),
        ("SubnetIds", "subnet-0a, subnet-0b"),
        ("SecurityGroupIds", "default"),
        ("DomainName", "https://metrics.example.com"),
        ("DomainName", "metrics.example.com/delivery"),
        ("DomainName", "Metrics.example.com"),
        ("DomainName", "localhost"),
        ("CertificateArn", "arn:aws:iam::123456789012:server-certificate/metrics"),
        ("BasePath", "/delivery"),
        ("BasePath", "delivery/"),
        ("BasePath", "delivery//v1"),
        ("HostedZoneId", "/hostedzone/Z0123456789ABC"),
        ("HostedZoneId", "example.com"),
        ("AlarmEmail", "somebody"),
        ("InvocationsLimit", "0"),
        ("LogRetentionDays", "31"),
        ("TlsPolicy", "TLS_1_0"),
        ("DisableExecuteApi", "yes"),
        ("EndpointType", "EDGE"),
        ("VpcEndpointId", "vpc-0a1b"),
        ("AllowedCidrs", "203.0.113.7"),
        ("AllowedCidrs", "203.0.113.0/24, 198.51.100.0/24"),
        ("WebhookCidrs", "github.com"),
        ("CorsOrigin", "*"),
        ("CorsOrigin", "http://dashboards.example.com"),
        ("CorsOrigin", "https://dashboards.example.com/"),
        ("CorsOrigin", "https://dashboards.example.com, https://grafana.example.com"),
        ("WafAclArn", "arn:aws:wafv2:us-east-1:123456789012:global/webacl/acl/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f"),
        ("ApiTotalRateLimit", "0"),
        ("DatabaseLogin", "password"),
        ("DatabaseResourceId", "mergeline-database"),
        ("DatabaseWriterName", "a/b"),
        ("DatabaseReaderName", "*"),
        ("Authorizer", "JWT"),
        ("JwtIssuer", "http://id.example.com"),
        ("JwtAudience", "two words"),
        ("TokenRateLimit", "0"),
        ("TokenBurstLimit", "1001"),
        ("Authorizer", "none"),
        ("ApiConcurrency", "0"),
        ("ApiConcurrency", "1000"),
        ("ApiRollout", "Canary10Percent"),
        ("GatewayKeyScope", "admin"),
        ("Monitoring", "none"),
        ("CollectEvery", "3"),
        ("StaleAfterHours", "169"),
        ("KmsKeyArn", "alias/mergeline"),
        ("AccessLogs", "yes"),
        ("Tracing", "on"),
        ("OtlpEndpoint", "http://collector.example.com:4318"),
        ("OtlpEndpoint", "https://user:password@otlp.example.com"),
        ("OtlpHeadersSecretArn", "authorization=Bearer abc"),
        ("PermissionsBoundaryArn", "AdministratorAccess"),
    ],
)
def test_nonsense_is_refused(name, value, written):
    assert refused(written["Parameters"][name], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GitHubApiUrl", "https://github.example.com:8443/api/v3"),
        ("GitHubAppId", "Iv1.0123456789abcdef"),
        ("DatabaseSecretArn", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db-AbCdEf"),
        ("OidcIssuer", "https://login.microsoftonline.com/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f/v2.0"),
        ("OidcIssuer", "https://keycloak.example.com:8443/realms/acme"),
        ("PublicUrl", "https://metrics.example.com/app/"),
        ("PublicUrl", "https://abcdefghij.execute-api.eu-north-1.amazonaws.com/v1/app/"),
        ("OidcScopes", "openid email https://example.com/groups"),
        ("OidcGroupsClaim", "realm_access.roles"),
        ("DatabaseProxyHost", "mergeline-database.proxy-abcdefghij.eu-north-1.rds.amazonaws.com"),
        ("DatabaseRootCertificate", "rds-ca.pem"),
        ("HttpsProxy", "http://proxy.example.com:3128"),
        ("HttpsProxy", "http://10.0.1.7:3128"),
        ("NoProxy", ".amazonaws.com,ghe.example.com,10.0.0.0/16"),
        ("TrustedAuthorities", "authorities.pem"),
        ("SubnetIds", "subnet-0123456789abcdef0,subnet-0123456789abcdef1"),
        ("DomainName", "metrics.eu-1.example.com"),
        ("CertificateArn", "arn:aws:acm:eu-north-1:123456789012:certificate/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f"),
        ("BasePath", "delivery"),
        ("BasePath", "delivery/v1"),
        ("HostedZoneId", "Z0123456789ABCDEFGHIJ"),
        ("VpcEndpointId", "vpce-0123456789abcdef0"),
        ("AllowedCidrs", "203.0.113.0/24,2001:db8::/32"),
        ("CorsOrigin", "https://dashboards.example.com:8443"),
        ("CorsOrigin", "https://dashboards.example.com,http://localhost:5173"),
        ("WafAclArn", "arn:aws:wafv2:eu-north-1:123456789012:regional/webacl/acl/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f"),
        ("KmsKeyArn", "arn:aws:kms:eu-north-1:123456789012:key/0a1b2c3d-0000-4444-8888-0a1b2c3d4e5f"),
        ("OtlpEndpoint", "https://otlp.example.com:4318/otlp"),
        ("AlarmEmail", "on-call+mergeline@example.com"),
    ],
)
def test_sense_is_taken(name, value, written):
    assert refused(written["Parameters"][name], value) is None


def test_a_network_is_given_whole_or_not_at_all(written):
    assert broken_rules(written) == []
    assert broken_rules(written, SubnetIds="subnet-0a", SecurityGroupIds="sg-0a") == []
    assert broken_rules(written, SubnetIds="subnet-0a") == ["NetworkIsWhole"]
    assert broken_rules(written, SecurityGroupIds="sg-0a") == ["NetworkIsWhole"]


def test_a_domain_is_given_with_its_certificate(written):
    whole = {"DomainName": "metrics.example.com", "CertificateArn": "arn"}
    assert broken_rules(written, **whole) == []
    assert broken_rules(written, **whole, BasePath="delivery", HostedZoneId="Z1") == []
    assert broken_rules(written, DomainName="metrics.example.com") == ["DomainIsWhole"]
    assert broken_rules(written, CertificateArn="arn") == ["DomainIsWhole"]


def test_a_private_endpoint_has_neither_webhooks_nor_a_domain(written):
    private = {"EndpointType": "PRIVATE", "VpcEndpointId": "vpce-0a"}
    assert broken_rules(written, **private, AllowedCidrs="10.0.0.0/8") == []
    assert broken_rules(written, EndpointType="PRIVATE") == ["PrivateIsWhole"]
    assert broken_rules(written, VpcEndpointId="vpce-0a") == ["EndpointIsForPrivate"]
    assert broken_rules(written, **private, WebhookSecretsSecretArn="s") == ["PrivateIsWhole"]
    domain = {"DomainName": "metrics.example.com", "CertificateArn": "arn"}
    assert broken_rules(written, **private, **domain) == ["PrivateIsWhole"]


def test_an_api_without_any_address_is_refused(written):
    domain = {"DomainName": "metrics.example.com", "CertificateArn": "arn"}
    assert broken_rules(written, DisableExecuteApi="true") == ["OnlyADomainIsLeft"]
    assert broken_rules(written, DisableExecuteApi="true", **domain) == []


def test_pages_of_other_sites_cannot_sign(written):
    assert broken_rules(written, Authorizer="iam") == []
    assert broken_rules(written, Authorizer="iam", CorsOrigin="https://dashboards.example.com") == ["BrowsersHaveKeys"]
    assert broken_rules(written, Authorizer="key", CorsOrigin="https://dashboards.example.com") == []


def test_tokens_need_an_issuer_and_an_audience_and_leave_no_way_for_keys(written):
    tokens = {"Authorizer": "jwt", "JwtIssuer": "https://id.example.com", "JwtAudience": "api"}
    login = {"OidcIssuer": "https://id.example.com", "OidcClientId": "c", "LoginSecretArn": "s", "PublicUrl": "u"}
    assert broken_rules(written, **tokens) == []
    assert broken_rules(written, **tokens | login) == []
    assert broken_rules(written, **tokens | login | {"JwtIssuer": ""}) == []
    assert broken_rules(written, **tokens | {"JwtIssuer": ""}) == ["TokensAreWhole"]
    assert broken_rules(written, **tokens | {"JwtAudience": ""}) == ["TokensAreWhole"]
    assert broken_rules(written, **tokens, ApiKeysSecretArn="s") == ["TokensAreWhole"]
    assert broken_rules(written, **tokens, CorsOrigin="https://dashboards.example.com") == ["PagesHaveNoTokens"]
    assert broken_rules(written, **tokens | {"Authorizer": "key"}) == ["TokensAreAskedFor"]


def test_logins_by_iam_are_logins_of_their_own_of_a_known_database(written):
    logins = {"DatabaseWriterSecretArn": "w", "DatabaseReaderSecretArn": "r"}
    iam = {"DatabaseLogin": "iam", "DatabaseResourceId": "db-A"}
    assert broken_rules(written, **logins, **iam) == []
    assert broken_rules(written, **iam) == ["LoginByIamIsWhole"]
    assert broken_rules(written, **logins, DatabaseLogin="iam") == ["LoginByIamIsWhole"]
    assert broken_rules(written, **logins, **iam, DatabaseProxyHost="p") == ["LoginByIamIsWhole"]
    assert broken_rules(written, **logins, **iam, DatabaseWriterName="a", DatabaseReaderName="a") == ["LoginByIamIsWhole"]
    assert broken_rules(written, **logins, DatabaseResourceId="db-A") == ["ResourceIdIsForIam"]


def test_networks_of_webhooks_need_webhooks(written):
    assert broken_rules(written, WebhookCidrs="192.30.252.0/22") == ["WebhookNetworksHaveWebhooks"]
    assert broken_rules(written, WebhookCidrs="192.30.252.0/22", WebhookSecretsSecretArn="s") == []


def test_exceptions_from_a_proxy_without_a_proxy_are_refused(written):
    assert broken_rules(written, NoProxy=".amazonaws.com") == ["NoProxyIsBesideAProxy"]
    assert broken_rules(written, HttpsProxy="http://proxy:3128", NoProxy=".amazonaws.com") == []


def test_headers_of_traces_need_an_endpoint(written):
    assert broken_rules(written, OtlpHeadersSecretArn="s") == ["HeadersHaveAnEndpoint"]
    assert broken_rules(written, OtlpHeadersSecretArn="s", OtlpEndpoint="https://otlp.example.com") == []


def test_a_path_or_a_zone_without_a_domain_is_refused(written):
    assert broken_rules(written, BasePath="delivery") == ["PathAndZoneHaveADomain"]
    assert broken_rules(written, HostedZoneId="Z1") == ["PathAndZoneHaveADomain"]
    github = source("infra/github-oidc.yaml")
    assert broken_rules(github, HostedZoneId="Z1") == ["ZoneHasADomain"]
    assert broken_rules(github, DomainName="metrics.example.com", HostedZoneId="Z1") == []


def test_a_disk_may_grow():
    database = source("infra/database.yaml")
    assert broken_rules(database) == []
    assert broken_rules(database, StorageGb="100", MaxStorageGb="200") == []
    assert broken_rules(database, StorageGb="100") == ["DiskMayGrow"]


def test_a_repository_is_spelt_as_in_tokens_with_its_ids_or_without():
    parameter = source("infra/github-oidc.yaml")["Parameters"]["Repository"]
    for spelling in ("acme/api", "acme-1/api.v2_x", "acme@123456/api@456789"):
        assert refused(parameter, spelling) is None, spelling
    for nonsense in ("acme", "acme@1/api", "acme/api@1", "acme@x/api@y", "acme@1/api@1:ref", "acme/*", "acme@*/api@*"):
        assert refused(parameter, nonsense), nonsense


@pytest.mark.parametrize("further", ["", ",arn:aws:secretsmanager:eu-north-1:123456789012:secret:prod/api.keys-012345"])
def test_secrets_that_exist_are_given_whole(further):
    parameter = source("infra/github-oidc.yaml")["Parameters"]["SecretArns"]
    one = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:Secret-0a1B2c3D4e5F-AbCdEf"
    assert refused(parameter, one + further) is None
    for nonsense in ("*", one[:-7], one.replace("Secret-0a1B2c3D4e5F", "*"), f"{one},,", f"{one}, {one}"):
        assert refused(parameter, nonsense + further), nonsense
    assert refused(parameter, f"{one},")


def test_a_secret_is_for_one_thing(written):
    assert broken_rules(written, ApiKeysSecretArn="one", DatabaseSecretArn="other") == []
    assert broken_rules(written, ApiKeysSecretArn="one", DatabaseSecretArn="one") == ["SecretsAreDifferent"]
    webhooks = "WebhookSecretsAreAlone"
    assert broken_rules(written, WebhookSecretsSecretArn="one", DatabaseSecretArn="other") == []
    assert broken_rules(written, WebhookSecretsSecretArn="one", DatabaseSecretArn="one") == [webhooks]
    assert broken_rules(written, WebhookSecretsSecretArn="one", ApiKeysSecretArn="one") == [webhooks]


def test_messages_need_channels_and_secrets_of_their_own(written):
    assert broken_rules(written, ChannelsSecretArn="c", MailFrom="m", SmtpSecretArn="s", PublicUrl="p") == []
    assert broken_rules(written, ChannelsSecretArn="c", MailFrom="m") == []
    for alone in ("ChannelHosts", "MailFrom"):
        assert broken_rules(written, **{alone: "x"}) == ["ChannelsAreWhole"], alone
    assert broken_rules(written, ChannelsSecretArn="c", SmtpSecretArn="s") == ["MailHasASender"]
    assert broken_rules(written, ChannelsSecretArn="c", MailFrom="m", SmtpSecretArn="c") == ["MailHasASender"]
    for other in ("DatabaseSecretArn", "WebhookSecretsSecretArn"):
        assert broken_rules(written, ChannelsSecretArn="c", **{other: "c"}) == ["ChannelSecretsAreAlone"], other


def test_three_logins_of_the_database_are_given_whole(written):
    both = {"DatabaseWriterSecretArn": "w", "DatabaseReaderSecretArn": "r"}
    assert broken_rules(written, **both, DatabaseSecretArn="o") == []
    assert broken_rules(written, **both, DatabaseLogins="prepared") == []
    for name in both:
        assert "LoginsAreWhole" in broken_rules(written, **{name: "x"}), name
        assert broken_rules(written, **both, DatabaseSecretArn=both[name]) == ["LoginsAreDifferent"], name
        assert broken_rules(written, **{**both, name: next(it for it in both.values() if it != both[name])}) == ["LoginsAreDifferent"]
    assert broken_rules(written, DatabaseLogins="prepared") == ["PreparedLoginsAreGiven"]


def test_a_proxy_of_the_database_knows_two_logins(written):
    both = {"DatabaseWriterSecretArn": "w", "DatabaseReaderSecretArn": "r"}
    assert broken_rules(written, DatabaseProxyHost="proxy.example.com", **both) == []
    assert broken_rules(written, DatabaseProxyHost="proxy.example.com") == ["ProxyKnowsTheLogins"]
    prepared = {"DatabaseLogins": "prepared", **both}
    assert broken_rules(written, DatabaseProxyHost="proxy.example.com", **prepared) == ["ProxyKnowsTheLogins"]


def test_a_database_that_sleeps_has_no_proxy():
    database = source("infra/database.yaml")
    asleep = {"Kind": "serverless", "MinCapacity": "0"}
    assert broken_rules(database, **asleep) == []
    assert broken_rules(database, DatabaseProxy="yes") == []
    assert broken_rules(database, **asleep, DatabaseProxy="yes") == ["ProxyKeepsAwake"]
    assert broken_rules(database, DatabaseProxy="yes", Kind="instance", MinCapacity="0") == []


def test_a_login_is_given_whole(written):
    whole = {"OidcIssuer": "i", "OidcClientId": "c", "LoginSecretArn": "s", "PublicUrl": "p"}
    assert broken_rules(written, **whole) == []
    for missing in ("OidcClientId", "LoginSecretArn", "PublicUrl"):
        assert broken_rules(written, **{**whole, missing: ""}) == ["LoginIsWhole"], missing
        assert broken_rules(written, **{missing: "x"}) == ["LoginHasAProvider"], missing
    for other in ("DatabaseSecretArn", "ApiKeysSecretArn", "WebhookSecretsSecretArn"):
        assert broken_rules(written, **whole, **{other: "s"}) == ["LoginIsWhole"], other


# --- samconfig.toml


def environments():
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    assert config.pop("version") == 0.1
    return config


def overrides(environment):
    given = environments()[environment]["deploy"]["parameters"].get("parameter_overrides", [])
    return dict(item.split("=", 1) for item in given)


def test_there_are_three_environments():
    assert list(environments()) == ["default", "staging", "prod"]


@pytest.mark.parametrize("environment", ["default", "staging", "prod"])
def test_an_environment_gives_parameters_that_there_are(environment, written):
    given = overrides(environment)
    for name, value in given.items():
        assert refused(written["Parameters"][name], value) is None, name
    assert broken_rules(written, **given) == []


@pytest.mark.parametrize("environment", ["default", "staging", "prod"])
def test_an_environment_can_be_deployed(environment):
    config = environments()[environment]
    # What the roles of infra/github-oidc.yaml know by its name.
    parameter = source("infra/github-oidc.yaml")["Parameters"]["StackName"]
    assert refused(parameter, config["global"]["parameters"]["stack_name"]) is None
    deploy = config["deploy"]["parameters"]
    # No resource has a name that an attacker could know beforehand, so that this is enough.
    assert deploy["capabilities"] == "CAPABILITY_IAM"
    assert deploy["fail_on_empty_changeset"] is False
    assert config["validate"]["parameters"]["lint"] is True
    # A workflow has nobody to ask.
    assert deploy["confirm_changeset"] is (environment == "default")


@pytest.mark.parametrize("environment", ["default", "staging", "prod"])
def test_an_environment_sets_options_that_sam_has(environment):
    for command, section in environments()[environment].items():
        if command == "global":
            continue
        cli = import_module(f"samcli.commands.{command}.{'command' if command != 'validate' else 'validate'}").cli
        known = {option.name for option in cli.params}
        assert set(section["parameters"]) - known == set(), command


def test_environments_do_not_share_a_stack():
    names = [config["global"]["parameters"]["stack_name"] for config in environments().values()]
    assert len(set(names)) == 3
    # The roles of one stack reach what is named `<stack>-…`.
    assert not [(one, other) for one in names for other in names if one != other and other.startswith(f"{one}-")]


def test_no_environment_holds_a_secret():
    text = (ROOT / "samconfig.toml").read_text()
    assert not re.search(r"gh[ps]_|github_pat_|postgres(ql)?://|AKIA|PRIVATE KEY|arn:aws", text)
