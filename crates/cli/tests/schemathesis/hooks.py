"""What Schemathesis does not know about this API: it refuses unknown parameters, returns no undocumented fields, and
has rules that JSON Schema cannot express."""

from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis.generation.meta import TestPhase

# Refusals of what the document allows: the parameter and the reason in the answer. A schema cannot say that one day
# is before another, or what exists.
NOT_IN_A_SCHEMA = {
    ("from", "empty_range"),
    ("from", "range_too_large"),
    ("interval", "range_too_large"),
    ("repo", "unknown_repository"),
    ("service", "unknown_service"),
    ("team", "unknown_team"),
}
TIMES = ["dismissed_at", "finished_at", "reopened_at", "resolved_at", "started_at"]
# What a schema cannot say about the body of an event: blanks around a text, the year and the clock, two ways to say the same.
NOT_IN_A_SCHEMA |= {
    (name, "invalid")
    for name in [
        "body", "deployment", "environment", "id", "remedies", "repository", "revisions", "service", "severity", "title",
        "url", "version", *TIMES,
    ]
}
NOT_IN_A_SCHEMA |= {(name, "future_timestamp") for name in TIMES}
# A service that nothing else tells deployments of.
SERVICE = "acme.web"
# Mutually exclusive ways to give the range.
RANGES = ["from", "last", "week", "days"]
# The repositories that the test stored.
REPOSITORIES = ["acme/web.js", "acme/api", "acme/legacy"]


def objects(schema):
    """Every schema of an object in a JSON document."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from objects(part)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """A body of lines, which Schemathesis cannot write by itself."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Forbids undocumented fields in answers. The document itself allows fields that are added later."""
    for schema in objects([raw_schema["components"]["schemas"], raw_schema["paths"]]):
        schema["additionalProperties"] = False


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes requests valid: without contradictions, about existing data, and with a cursor only if an answer returned
    it. The tested parameter stays unchanged, so that it is the only possible reason for a refusal."""
    if case.meta is None:
        return
    if case.meta.generation.mode.is_positive and isinstance(case.body, dict) and "service" in case.body:
        case.body["service"] = SERVICE
    # It follows a guessed link from a pull request to its deployment even if that is null.
    if case.meta.phase.name == TestPhase.STATEFUL and case.path_parameters.get("deployment_id") == "None":
        case.path_parameters["deployment_id"] = "1"
    tried = {mutation.parameter for mutation in case.meta.phase.data.mutations} | {case.meta.phase.data.parameter}
    query = case.query
    given = sorted((name for name in RANGES if name in query), key=lambda name: name not in tried)
    for name in given[1:]:
        if name not in tried:
            del query[name]
    if given and given[0] != "from" and "to" not in tried:
        query.pop("to", None)
    if "from" in query and "to" in query and not tried & {"from", "to"}:
        query["from"], query["to"] = sorted([query["from"], query["to"]])
        if query["from"] == query["to"]:
            del query["to"]
    if "cursor" not in tried and case.meta.phase.name != TestPhase.STATEFUL:
        query.pop("cursor", None)
    if "repo" in query and "repo" not in tried:
        query["repo"] = ",".join(REPOSITORIES[: str(query["repo"]).count(",") + 1])


@schemathesis.check
def refusal_of_what_the_document_allows(ctx, response, case):
    """Like `positive_data_acceptance`, but for each reason instead of for every 400."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    error = response.json()["error"]
    reasons = {(detail["parameter"], detail["reason"]) for detail in error["details"]}
    assert error["code"] == "invalid_cursor" or reasons <= NOT_IN_A_SCHEMA, f"the document allows it: {error}"


@schemathesis.check
def acceptance_of_unknown_parameters(ctx, response, case):
    """Also rejects unknown parameters, which `negative_data_rejection` allows because most programs ignore them."""
    sent = [name for name, _ in parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)]
    known = {parameter.name for parameter in case.operation.query}
    wrong = [name for name in sent if name not in known or sent.count(name) > 1]
    assert not wrong or response.status_code >= 400, f"accepted unknown or repeated parameters: {wrong}"
