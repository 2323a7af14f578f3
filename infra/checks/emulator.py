"""CloudFormation on moto, with the resource types of template.yaml that moto lacks or simplifies.

Each of them is made by the service's own call, so that botocore refuses a property that does not exist and moto's
service refuses a reference to something that is not there. What was made is then read back like from AWS.
"""

import json
import re

import boto3
import botocore.session
from botocore import xform_name
from botocore.validate import ParamValidator
from moto.apigatewayv2.models import apigatewayv2_backends
from moto.cloudformation import parsing
from moto.cloudwatch.models import cloudwatch_backends
from moto.codedeploy.models import codedeploy_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.sqs.models import sqs_backends

REGION = "eu-north-1"
_model_of = botocore.session.get_session().get_service_model


def client(service):
    return boto3.client(service, region_name=REGION)


def fitted(value, shape):
    """A value in the types that a call wants: CloudFormation's numbers and flags may be texts."""
    if shape.type_name == "structure":
        return {key: fitted(part, shape.members[key]) if key in shape.members else part for key, part in value.items()}
    if shape.type_name == "list":
        return [fitted(part, shape.member) for part in value]
    if shape.type_name == "map":
        return {key: fitted(part, shape.value) for key, part in value.items()}
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("double", "float"):
        return float(value)
    if shape.type_name == "boolean" and isinstance(value, str):
        return value == "true"
    return str(value) if shape.type_name == "string" and not isinstance(value, str) else value


def decapitalized(node):
    """Keys as API Gateway spells them."""
    if isinstance(node, dict):
        return {key[0].lower() + key[1:]: decapitalized(value) for key, value in node.items()}
    return [decapitalized(value) for value in node] if isinstance(node, list) else node


def call(service, operation, arguments):
    """The answer of a service to a call with arguments from a template."""
    shape = _model_of(service).operation_model(operation).input_shape
    return getattr(client(service), xform_name(operation))(**fitted(arguments, shape))


class Made:
    """What moto's CloudFormation wants to know of a resource."""

    def __init__(self, physical_id, attributes=None):
        self.physical_resource_id = physical_id
        self.attributes = attributes or {}

    def get_cfn_attribute(self, name):
        return self.attributes[name]

    def is_created(self):
        return True


def makes(kind, attributes=(), named_by=""):
    """Registers a function as what makes the resources of a type."""

    def register(make):
        def create(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
            return make(resource_name, dict(cloudformation_json.get("Properties", {})))

        type(
            kind.replace("::", ""),
            (CloudFormationModel,),
            {
                "cloudformation_name_type": staticmethod(lambda: named_by),
                "cloudformation_type": staticmethod(lambda: f"AWS::{kind}"),
                "has_cfn_attr": classmethod(lambda cls, name: name in attributes),
                "create_from_cloudformation_json": classmethod(create),
            },
        )
        return make

    return register


@makes("IAM::Role", ["Arn"], "RoleName")
def role(name, properties):
    iam = client("iam")
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    boundary = {key: properties[key] for key in ("PermissionsBoundary",) if key in properties}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust, **boundary)["Role"]
    for policy in properties.get("Policies", []):
        # SAM's own policies name no version, which AWS takes and moto does not.
        document = json.dumps({"Version": "2012-10-17", **policy["PolicyDocument"]})
        iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return Made(name, {"Arn": made["Arn"]})


@makes("Lambda::Function", ["Arn"], "FunctionName")
def function(name, properties):
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    # Set by a call of its own, which moto does not have.
    properties.pop("RecursiveLoop", None)
    # The service spells it otherwise than CloudFormation.
    if properties.get("KmsKeyArn"):
        properties["KMSKeyArn"] = properties.pop("KmsKeyArn")
    concurrency = properties.pop("ReservedConcurrentExecutions", None)
    made = call("lambda", "CreateFunction", {"FunctionName": name, **properties})
    if concurrency:
        limit = {"FunctionName": made["FunctionName"], "ReservedConcurrentExecutions": concurrency}
        call("lambda", "PutFunctionConcurrency", limit)
    return Made(made["FunctionName"], {"Arn": made["FunctionArn"]})


@makes("Lambda::Version", ["Version"])
def version(name, properties):
    made = call("lambda", "PublishVersion", properties)
    return Made(made["FunctionArn"], {"Version": made["Version"]})


@makes("Lambda::Alias")
def alias(name, properties):
    return Made(call("lambda", "CreateAlias", properties)["AliasArn"])


@makes("Lambda::Permission")
def permission(name, properties):
    # CloudFormation takes the ARN of an alias, and the service its name beside the function's.
    *_, function, qualifier = properties.pop("FunctionName").split(":")
    place = {"FunctionName": function, "Qualifier": qualifier, "StatementId": name}
    call("lambda", "AddPermission", place | properties)
    return Made(name)


@makes("CodeDeploy::Application", [], "ApplicationName")
def deploy_application(name, properties):
    call("codedeploy", "CreateApplication", decapitalized({"ApplicationName": name, **properties}))
    return Made(name)


@makes("CodeDeploy::DeploymentGroup", [], "DeploymentGroupName")
def deployment_group(name, properties):
    call("codedeploy", "CreateDeploymentGroup", decapitalized({"DeploymentGroupName": name, **properties}))
    return Made(name)


def guards_of(application, group):
    """The alarms that stop a rollout, which moto keeps and does not show."""
    kept = codedeploy_backends[DEFAULT_ACCOUNT_ID][REGION].deployment_groups[application][group].alarm_configuration
    assert kept["enabled"] is True
    return [alarm["name"] for alarm in kept["alarms"]]


@makes("Lambda::LayerVersion", [], "LayerName")
def layer(name, properties):
    made = call("lambda", "PublishLayerVersion", {"LayerName": name, **properties})
    return Made(made["LayerVersionArn"])


@makes("Lambda::EventSourceMapping", ["Id"])
def event_source_mapping(name, properties):
    made = call("lambda", "CreateEventSourceMapping", properties)
    # moto would invoke the function by itself, for which there is no program.
    *_, account_id, queue = properties["EventSourceArn"].split(":")
    sqs_backends[account_id][REGION].queues[queue].lambda_event_source_mappings.clear()
    return Made(made["UUID"])


@makes("Lambda::EventInvokeConfig")
def event_invoke_config(name, properties):
    # Of the function as it is, which moto knows without its name.
    assert properties.pop("Qualifier") == "$LATEST"
    call("lambda", "PutFunctionEventInvokeConfig", properties)
    return Made(name)


@makes("Scheduler::Schedule", ["Arn"], "Name")
def schedule(name, properties):
    return Made(name, {"Arn": call("scheduler", "CreateSchedule", {"Name": name, **properties})["ScheduleArn"]})


@makes("SecretsManager::Secret", [], "Name")
def secret(name, properties):
    # CloudFormation makes up the password.
    if made_up := properties.pop("GenerateSecretString", None):
        template, key = json.loads(made_up.pop("SecretStringTemplate")), made_up.pop("GenerateStringKey")
        password = call("secretsmanager", "GetRandomPassword", made_up)["RandomPassword"]
        properties["SecretString"] = json.dumps(template | {key: password})
    return Made(call("secretsmanager", "CreateSecret", {"Name": name, **properties})["ARN"])


@makes("SecretsManager::SecretTargetAttachment")
def secret_target_attachment(name, properties):
    rds, of = client("rds"), properties["TargetId"]
    if properties["TargetType"] == "AWS::RDS::DBInstance":
        (it,) = rds.describe_db_instances(DBInstanceIdentifier=of)["DBInstances"]
        place = {"host": it["Endpoint"]["Address"], "port": it["Endpoint"]["Port"]}
    else:
        (it,) = rds.describe_db_clusters(DBClusterIdentifier=of)["DBClusters"]
        place = {"host": it["Endpoint"], "port": it["Port"]}
    secrets, arn = client("secretsmanager"), properties["SecretId"]
    value = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) | place
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(value))
    return Made(arn)


@makes("RDS::DBSubnetGroup", [], "DBSubnetGroupName")
def subnet_group(name, properties):
    call("rds", "CreateDBSubnetGroup", {"DBSubnetGroupName": name.lower(), **properties})
    return Made(name.lower())


def parameter_group(operation, key):
    def make(name, properties):
        facts = {key: name.lower(), "DBParameterGroupFamily": properties["Family"]}
        call("rds", operation, facts | {"Description": properties["Description"]})
        return Made(name.lower())

    return make


makes("RDS::DBParameterGroup")(parameter_group("CreateDBParameterGroup", "DBParameterGroupName"))
makes("RDS::DBClusterParameterGroup")(parameter_group("CreateDBClusterParameterGroup", "DBClusterParameterGroupName"))


@makes("RDS::DBInstance", ["DbiResourceId", "Endpoint.Address"], "DBInstanceIdentifier")
def database_instance(name, properties):
    # Spelled otherwise than by the service.
    if "VPCSecurityGroups" in properties:
        properties["VpcSecurityGroupIds"] = properties.pop("VPCSecurityGroups")
    made = call("rds", "CreateDBInstance", {"DBInstanceIdentifier": name, **properties})["DBInstance"]
    facts = {"DbiResourceId": made["DbiResourceId"], "Endpoint.Address": made["Endpoint"]["Address"]}
    return Made(made["DBInstanceIdentifier"], facts)


@makes("RDS::DBCluster", ["DBClusterResourceId", "Endpoint.Address"], "DBClusterIdentifier")
def database_cluster(name, properties):
    made = call("rds", "CreateDBCluster", {"DBClusterIdentifier": name, **properties})["DBCluster"]
    facts = {"DBClusterResourceId": made["DbClusterResourceId"], "Endpoint.Address": made["Endpoint"]}
    return Made(made["DBClusterIdentifier"], facts)


@makes("RDS::DBProxy", ["Endpoint"])
def database_proxy(name, properties):
    made = call("rds", "CreateDBProxy", properties)["DBProxy"]
    return Made(made["DBProxyName"], {"Endpoint": made["Endpoint"]})


@makes("RDS::DBProxyTargetGroup")
def database_proxy_target_group(name, properties):
    place = {"DBProxyName": properties["DBProxyName"], "TargetGroupName": properties["TargetGroupName"]}
    pool = {"ConnectionPoolConfig": properties.pop("ConnectionPoolConfigurationInfo")}
    call("rds", "ModifyDBProxyTargetGroup", place | pool)
    call("rds", "RegisterDBProxyTargets", properties)
    return Made(name)


@makes("SNS::Topic", [], "TopicName")
def topic(name, properties):
    # moto would forget the key.
    return Made(call("sns", "CreateTopic", {"Name": name, "Attributes": properties})["TopicArn"])


@makes("Logs::LogGroup", ["Arn"], "LogGroupName")
def log_group(name, properties):
    days = properties.pop("RetentionInDays")
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    call("logs", "CreateLogGroup", decapitalized({"LogGroupName": name, **properties}))
    call("logs", "PutRetentionPolicy", {"logGroupName": name, "retentionInDays": days})
    (made,) = client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return Made(name, {"Arn": made["arn"]})


@makes("SNS::Subscription")
def subscription(name, properties):
    return Made(call("sns", "Subscribe", properties)["SubscriptionArn"])


@makes("SNS::TopicPolicy")
def topic_policy(name, properties):
    for topic in properties["Topics"]:
        policy = json.dumps(properties["PolicyDocument"])
        client("sns").set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    return Made(name)


@makes("Budgets::Budget")
def budget(name, properties):
    # CloudFormation names one that has no name.
    properties["Budget"].setdefault("BudgetName", name)
    call("budgets", "CreateBudget", {"AccountId": DEFAULT_ACCOUNT_ID, **properties})
    return Made(properties["Budget"]["BudgetName"])


@makes("Logs::MetricFilter")
def metric_filter(name, properties):
    properties["metricTransformations"] = properties.pop("MetricTransformations")
    call("logs", "PutMetricFilter", decapitalized({"filterName": name, **properties}))
    return Made(name)


@makes("CloudWatch::Alarm", ["Arn"], "AlarmName")
def alarm(name, properties):
    call("cloudwatch", "PutMetricAlarm", {"AlarmName": name, **properties})
    (made,) = client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return Made(name, {"Arn": made["AlarmArn"]})


@makes("CloudWatch::CompositeAlarm", ["Arn"], "AlarmName")
def composite_alarm(name, properties):
    # moto stores one only by its model. botocore checks what the call would be, and the parts have to be there.
    shape = _model_of("cloudwatch").operation_model("PutCompositeAlarm").input_shape
    report = ParamValidator().validate({"AlarmName": name, **properties}, shape)
    assert not report.has_errors(), report.generate_report()
    for part in re.findall(r'ALARM\("([^"]+)"\)', properties["AlarmRule"]):
        assert client("cloudwatch").describe_alarms(AlarmNames=[part])["MetricAlarms"], part
    backend = cloudwatch_backends[DEFAULT_ACCOUNT_ID][REGION]
    made = backend.put_metric_alarm(
        name, *[None] * 7, properties["AlarmDescription"], [], properties["AlarmActions"],
        ok_actions=properties["OKActions"], rule=properties["AlarmRule"],
    )  # fmt: skip
    return Made(name, {"Arn": made.alarm_arn})


@makes("CloudWatch::Dashboard", [], "DashboardName")
def dashboard(name, properties):
    call("cloudwatch", "PutDashboard", properties)
    return Made(properties["DashboardName"])


@makes("ApiGateway::Account")
def account(name, properties):
    # moto wants what AWS does not: that the settings exist before they are changed.
    change = {"op": "replace", "path": "/cloudwatchRoleArn", "value": properties["CloudWatchRoleArn"]}
    client("apigateway").update_account(patchOperations=[change])
    return Made("account")


@makes("ApiGateway::RestApi", ["RootResourceId", "RestApiId"], "Name")
def rest_api(name, properties):
    gateway, body = client("apigateway"), properties["Body"]
    endpoint = {key[0].lower() + key[1:]: it for key, it in properties["EndpointConfiguration"].items() if it}
    # In the definition, which moto does not read further than its paths.
    (server,) = body["servers"]
    closed = server["x-amazon-apigateway-endpoint-configuration"]["disableExecuteApiEndpoint"]
    more = {"policy": json.dumps(properties["Policy"])} if properties.get("Policy") else {}
    compression = {"minimumCompressionSize": int(properties["MinimumCompressionSize"])}
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    more |= {"tags": tags, "endpointConfiguration": endpoint, "disableExecuteApiEndpoint": closed in (True, "true")}
    api = gateway.create_rest_api(name=name, **more, **compression)["id"]
    gateway.put_rest_api(restApiId=api, mode="overwrite", body=json.dumps(body).encode())
    # Of the definition moto takes the paths only.
    resources = {it["path"]: it["id"] for it in gateway.get_resources(restApiId=api, limit=500)["items"]}
    for path, methods in body["paths"].items():
        for verb, operation in methods.items():
            place = {"restApiId": api, "resourceId": resources[path], "httpMethod": verb.upper()}
            shown = {scheme for needed in operation.get("security", []) for scheme in needed}
            authorization = "AWS_IAM" if "sigv4" in shown else "NONE"
            gateway.put_method(**place, authorizationType=authorization, apiKeyRequired="api_key" in shown)
            integration = operation["x-amazon-apigateway-integration"]
            gateway.put_integration(
                **place,
                type=integration["type"].upper(),
                integrationHttpMethod=integration["httpMethod"],
                uri=integration["uri"],
            )
    for kind, response in body["x-amazon-apigateway-gateway-responses"].items():
        gateway.put_gateway_response(restApiId=api, responseType=kind, **response)
    return Made(api, {"RootResourceId": resources["/"], "RestApiId": api})


@makes("ApiGateway::Deployment", ["DeploymentId"])
def deployment(name, properties):
    made = call("apigateway", "CreateDeployment", decapitalized(properties))["id"]
    return Made(made, {"DeploymentId": made})


@makes("ApiGateway::Stage")
def stage(name, properties):
    access_log = properties.pop("AccessLogSetting", None) or {}
    limits = properties.pop("MethodSettings", [])
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    call("apigateway", "CreateStage", decapitalized(properties))
    changes = {f"/accessLogSettings/{key[0].lower()}{key[1:]}": value for key, value in access_log.items()}
    for limit in limits:
        # CloudFormation's spelling: a slash, then the path with ~1 for each of its slashes.
        path = limit["ResourcePath"]
        place = ("~1" if path == "/" else path.removeprefix("/")) + "/" + limit["HttpMethod"]
        changes[f"/{place}/throttling/rateLimit"] = limit["ThrottlingRateLimit"]
        changes[f"/{place}/throttling/burstLimit"] = limit["ThrottlingBurstLimit"]
    if changes:
        changes = [{"op": "replace", "path": path, "value": str(value)} for path, value in changes.items()]
        client("apigateway").update_stage(
            restApiId=properties["RestApiId"], stageName=properties["StageName"], patchOperations=changes
        )
    return Made(properties["StageName"])


@makes("ApiGateway::DomainName", ["RegionalDomainName", "RegionalHostedZoneId"])
def domain_name(name, properties):
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    made = call("apigateway", "CreateDomainName", decapitalized(properties))
    # moto makes up no address and no zone.
    attributes = {"RegionalDomainName": f"d-1.execute-api.{REGION}.amazonaws.com", "RegionalHostedZoneId": "Z1REGIONAL"}
    return Made(made["domainName"], attributes)


@makes("ApiGatewayV2::ApiMapping", ["ApiMappingId"])
def api_mapping(name, properties):
    # moto keeps the two versions apart: what is referred to is looked up in the first, and then made known to the second.
    gateway, domain = client("apigateway"), properties["DomainName"]
    gateway.get_domain_name(domainName=domain)
    stage = gateway.get_stage(restApiId=properties["ApiId"], stageName=properties["Stage"])
    apigatewayv2_backends[DEFAULT_ACCOUNT_ID][REGION].apis[properties["ApiId"]] = stage
    client("apigatewayv2").create_domain_name(DomainName=domain)
    made = call("apigatewayv2", "CreateApiMapping", {"ApiMappingKey": "", **properties})["ApiMappingId"]
    return Made(made, {"ApiMappingId": made})


@makes("WAFv2::WebACLAssociation")
def web_acl_association(name, properties):
    call("wafv2", "AssociateWebACL", properties)
    return Made(name)


@makes("Route53::RecordSet")
def record_set(name, properties):
    zone = properties.pop("HostedZoneId")
    properties["AliasTarget"] = {"EvaluateTargetHealth": False, **properties["AliasTarget"]}
    changes = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": properties}]}
    call("route53", "ChangeResourceRecordSets", {"HostedZoneId": zone, "ChangeBatch": changes})
    return Made(properties["Name"])


@makes("ApiGateway::ApiKey", ["APIKeyId"], "Name")
def api_key(name, properties):
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    made = call("apigateway", "CreateApiKey", decapitalized({"Name": name, **properties}))["id"]
    return Made(made, {"APIKeyId": made})


@makes("ApiGateway::UsagePlan", ["Id"], "UsagePlanName")
def usage_plan(name, properties):
    properties = {"Name": properties.pop("UsagePlanName", name), **properties}
    properties["Tags"] = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    made = call("apigateway", "CreateUsagePlan", decapitalized(properties))["id"]
    return Made(made, {"Id": made})


@makes("ApiGateway::UsagePlanKey", ["Id"])
def usage_plan_key(name, properties):
    return Made(call("apigateway", "CreateUsagePlanKey", decapitalized(properties))["id"])


_cleaned = parsing.clean_json


def without_nothing(node, resources):
    """What moto forgets: `AWS::NoValue` in a list is no item."""
    cleaned = _cleaned(node, resources)
    return [item for item in cleaned if item is not None] if isinstance(cleaned, list) else cleaned


parsing.clean_json = without_nothing
