"""Policies of infra/database.yaml."""

import json
import re

import access
import network
from nodes import branches, of_type, properties, target, texts, written

# Versions of PostgreSQL that RDS and Aurora have: the newest minor of each that is known here.
VERSIONS = {"17": 11}
ENGINES = {"postgres", "aurora-postgresql"}
# None is larger than what InstanceClass offers.
CLASSES = {"db.t4g.micro", "db.t4g.small", "db.t4g.medium", "db.t4g.large", "db.m7g.large", "db.serverless"}


def instances_and_clusters(template):
    """What holds data, without the members of a cluster."""
    for kind in ("RDS::DBInstance", "RDS::DBCluster"):
        for name, facts in properties(template, kind).items():
            if "DBClusterIdentifier" not in facts:
                yield name, facts


def the_engine_exists(template):
    """Its version, and parameters of the same one."""
    parameter = template["Parameters"]["EngineVersion"]
    major, minor = parameter["Default"].split(".")
    if not 0 < int(minor) <= VERSIONS.get(major, 0):
        yield f"there is no PostgreSQL {parameter['Default']}"
    if parameter["AllowedPattern"] != rf"{major}\.[0-9]+":
        yield f"{parameter['AllowedPattern']} is more than the versions of PostgreSQL {major}"
    groups = properties(template, "RDS::DBParameterGroup") | properties(template, "RDS::DBClusterParameterGroup")
    for name, facts in instances_and_clusters(template):
        if facts["Engine"] not in ENGINES:
            yield f"{name} is {facts['Engine']}"
        if target(facts["EngineVersion"]) != "EngineVersion":
            yield f"{name} has a version of its own"
        used = target(facts.get("DBParameterGroupName", facts.get("DBClusterParameterGroupName")))
        if groups[used]["Family"] != f"{facts['Engine']}{major}":
            yield f"{name}: {used} is for {groups[used]['Family']}"
    for name, facts in properties(template, "RDS::DBInstance").items():
        cluster = properties(template, "RDS::DBCluster").get(target(facts.get("DBClusterIdentifier", {})))
        if cluster and cluster["Engine"] != facts["Engine"]:
            yield f"{name} is {facts['Engine']} in a cluster of {cluster['Engine']}"


def sizes_are_modest(template):
    allowed = template["Parameters"]["InstanceClass"].get("AllowedValues", ["any"])
    for name, facts in properties(template, "RDS::DBInstance").items():
        size = facts["DBInstanceClass"]
        for choice in allowed if size == {"Ref": "InstanceClass"} else [size]:
            if choice not in CLASSES:
                yield f"{name} may be {choice}"
    for name, facts in instances_and_clusters(template):
        if facts.get("StorageType", "gp3") != "gp3":
            yield f"{name} pays for {facts['StorageType']}"
        if facts.get("MultiAZ", {"Ref": "MultiAz"}) != {"Ref": "MultiAz"}:
            yield f"{name} has a standby that nobody asked for"
    if template["Parameters"]["MultiAz"]["Default"] != "false":
        yield "a standby is not asked for"


def the_disk_grows_as_far_as_it_is_let(template):
    """RDS refuses less than a tenth more."""
    least, most = (template["Parameters"][name] for name in ("StorageGb", "MaxStorageGb"))
    for key in ("Default", "MinValue", "MaxValue"):
        if most[key] < 1.1 * least[key]:
            yield f"MaxStorageGb: {key} is less than a tenth above StorageGb"


def data_is_encrypted_and_kept(template):
    for name, facts in instances_and_clusters(template):
        if facts.get("StorageEncrypted") is not True:
            yield f"{name} is not encrypted"
        if target(facts["BackupRetentionPeriod"]) != "BackupDays":
            yield f"{name} keeps other backups than BackupDays"
        if target(facts["DeletionProtection"]) != "DeletionProtection":
            yield f"{name} can be deleted"
    if template["Parameters"]["DeletionProtection"]["Default"] != "true":
        yield "the database can be deleted by default"


def only_by_tls_and_never_in_public(template):
    for name, facts in properties(template, "RDS::DBInstance").items():
        if facts.get("PubliclyAccessible") is not False:
            yield f"{name} is public"
    for kind in ("RDS::DBParameterGroup", "RDS::DBClusterParameterGroup"):
        for name, group in properties(template, kind).items():
            if group["Parameters"].get("rds.force_ssl") != "1":
                yield f"{name} takes connections without TLS"
    groups_of = {name for name, _ in network.rules(template, "Ingress")}
    if not groups_of <= {DATABASE, PROXY, "ProxyMayConnect"}:
        yield f"something is reached through {sorted(groups_of)}"
    for name, facts in instances_and_clusters(template):
        groups = facts.get("VPCSecurityGroups", facts.get("VpcSecurityGroupIds"))
        if list(map(target, groups)) != [DATABASE]:
            yield f"{name} is reached through {groups}"
        if facts.get("DBParameterGroupName", facts.get("DBClusterParameterGroupName")) is None:
            yield f"{name} has RDS's own parameters"


# Security groups.
DATABASE, PROXY = "SecurityGroup", "ProxySecurityGroup"
SECRETS_OF_PROXY = ("WriterSecret", "ReaderSecret")
VIA_SECRETS_MANAGER = {
    "StringEquals": {"kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"}}
}


def a_proxy_stands_between_functions_and_database(template):
    """Where it is asked for, by TLS, and with the logins of the functions: the owner's goes past it."""
    proxies = of_type(template, "RDS::DBProxy")
    led = {}
    for resource in of_type(template, "RDS::DBProxyTargetGroup").values():
        facts, condition = resource["Properties"], resource.get("Condition")
        led[condition] = (target(facts["DBProxyName"]), facts.get("DBInstanceIdentifiers"), facts.get("DBClusterIdentifiers"))
    if led != {
        "HasProxyToInstance": ("Proxy", [{"Ref": "Instance"}], None),
        "HasProxyToCluster": ("Proxy", None, [{"Ref": "Cluster"}]),
    }:
        yield f"a proxy leads to {led}"
    if [resource.get("Condition") for resource in proxies.values()] != ["HasProxy"]:
        yield f"the proxies {sorted(proxies)} are there although nobody asked"
    for name, resource in proxies.items():
        facts = resource["Properties"]
        if (facts["EngineFamily"], facts.get("RequireTLS"), facts.get("DebugLogging", False)) != ("POSTGRESQL", True, False):
            yield f"{name} takes connections without TLS, or writes down statements"
        logins = {target(it["SecretArn"]) for it in facts["Auth"]}
        ways = {(it["AuthScheme"], it["ClientPasswordAuthType"], it["IAMAuth"]) for it in facts["Auth"]}
        if logins != {f"{it}Attachment" for it in SECRETS_OF_PROXY}:
            yield f"{name} knows the logins of {sorted(logins)}"
        if ways != {("SECRETS", "POSTGRES_SCRAM_SHA_256", "DISABLED")}:
            yield f"{name} is logged in to by {sorted(ways)}"
        places = [*map(target, facts["VpcSecurityGroupIds"]), target(facts["VpcSubnetIds"])]
        if places != [PROXY, "SubnetIds"]:
            yield f"{name} stands in {places}"
    # It sees connections from the functions, and makes them to the database.
    ways = {
        (target(rule.get("GroupId", {})) or name, way, written(rule.get(key)))
        for way, key in (("Ingress", "SourceSecurityGroupId"), ("Egress", "DestinationSecurityGroupId"))
        for name, rule in network.rules(template, way)
    }
    functions, proxy, database = (written({"Ref": it}) for it in ("FunctionsSecurityGroupId", PROXY, DATABASE))
    if ways != {
        (DATABASE, "Ingress", functions),
        (DATABASE, "Ingress", proxy),
        (DATABASE, "Egress", "null"),
        (PROXY, "Ingress", functions),
        (PROXY, "Egress", database),
    }:
        yield f"connections are {sorted(ways)}"


def a_proxy_reads_the_logins_of_the_functions(template):
    needed = {("ProxyRole", "secretsmanager:GetSecretValue", secret, "{}") for secret in SECRETS_OF_PROXY}
    needed |= {("ProxyRole", "kms:Decrypt", "KmsKeyArn", written(VIA_SECRETS_MANAGER))}
    yield from access.differences(set(access.rights(template)), needed)
    (policy,) = properties(template, "IAM::Role")["ProxyRole"]["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        if "kms:" in written(statement) and statement.get("Fn::If", [None])[0] != "HasKey":
            yield "a proxy uses a key that nobody gave"


# By secret. The functions read its user there, and with the attachment host, port and database.
USERS = {"Secret": "mergeline", "WriterSecret": "mergeline_writer", "ReaderSecret": "mergeline_reader"}


def the_passwords_are_made_by_aws(template):
    """And seen by nobody. The database's own user is the owner, and what rotates the others finds its secret in theirs."""
    secrets = properties(template, "SecretsManager::Secret")
    users = {}
    for name, secret in secrets.items():
        if "SecretString" in secret:
            yield f"{name} has a value"
        written = secret["GenerateSecretString"]["SecretStringTemplate"]
        written = json.loads(written if isinstance(written, str) else written["Fn::Sub"])
        users[name] = written["username"]
        if name != "Secret" and written.get("masterarn") != "${Secret}":
            yield f"{name} does not say who may change its password"
        if set(secret["GenerateSecretString"]) & {"ExcludeUppercase", "ExcludeLowercase", "ExcludeNumbers"}:
            yield f"{name} is easier to guess"
    if users != USERS:
        yield f"the logins are {users}"
    made = {"Fn::Sub": "{{resolve:secretsmanager:${Secret}:SecretString:password}}"}
    for owner, facts in instances_and_clusters(template):
        if (facts["MasterUserPassword"], facts["MasterUsername"]) != (made, USERS["Secret"]):
            yield f"{owner} has another owner or password"
    attachments = properties(template, "SecretsManager::SecretTargetAttachment")
    if sorted(target(it["SecretId"]) for it in attachments.values()) != sorted(USERS):
        yield "not every secret says where the database is"
    for name, attachment in attachments.items():
        if set(map(target, branches(attachment["TargetId"]))) != {owner for owner, _ in instances_and_clusters(template)}:
            yield f"{name} does not say where the database is"
    for text in texts(template):
        if re.search(r"postgres(ql)?://[^/\s]*:[^/\s]*@", text):
            yield f"looks like a secret: {text[:20]}…"


def passwords_change_where_it_is_asked_for(template):
    """Those of the two logins that migrating makes. Before that, there is nothing to change."""
    rotations = properties(template, "SecretsManager::RotationSchedule")
    of = sorted(target(it["SecretId"]) for it in rotations.values())
    if of != ["ReaderSecretAttachment", "WriterSecretAttachment"]:
        yield f"the passwords of {of} change"
    for name, facts in rotations.items():
        if template["Resources"][name].get("Condition") != "Rotates":
            yield f"{name} is there although nobody asked"
        if target(facts.get("RotationLambdaARN", {})) != "RotationFunctionArn":
            yield f"{name} is done by another function"
        if facts.get("RotateImmediatelyOnUpdate") is not False:
            yield f"{name} begins before there is a login"
        if target(facts["RotationRules"]["AutomaticallyAfterDays"]) != "RotationDays":
            yield f"{name} is at other times than RotationDays"


WATCHES = {"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"}


def the_machine_is_watched_where_it_is_asked_for(template):
    parameter = template["Parameters"]["MonitoringSeconds"]
    if (parameter["AllowedValues"], parameter["Default"]) != (["0", "15", "30", "60"], "0"):
        yield f"machines are looked at every {parameter['AllowedValues']} s"
    for name, facts in properties(template, "RDS::DBInstance").items():
        role = {"Fn::If": ["IsMonitored", {"Fn::GetAtt": ["MonitoringRole", "Arn"]}, {"Ref": "AWS::NoValue"}]}
        if (facts.get("MonitoringInterval"), facts.get("MonitoringRoleArn")) != ({"Ref": "MonitoringSeconds"}, role):
            yield f"{name} is not watched as often as asked"
    watching = properties(template, "IAM::Role")["MonitoringRole"]
    if watching.get("ManagedPolicyArns") != [WATCHES] or watching.get("Policies"):
        yield "MonitoringRole may do more than watch"
    for name, role in properties(template, "IAM::Role").items():
        if name != "MonitoringRole" and role.get("ManagedPolicyArns"):
            yield f"{name} may do more than its own policies say"


POLICIES = [
    access.roles_are_taken_by_their_users,
    the_machine_is_watched_where_it_is_asked_for,
    the_engine_exists,
    sizes_are_modest,
    the_disk_grows_as_far_as_it_is_let,
    data_is_encrypted_and_kept,
    only_by_tls_and_never_in_public,
    the_passwords_are_made_by_aws,
    passwords_change_where_it_is_asked_for,
    a_proxy_stands_between_functions_and_database,
    a_proxy_reads_the_logins_of_the_functions,
]
