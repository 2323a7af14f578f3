"""The scripts that deploy, which otherwise only GitHub runs, with everything outside of them played by stubs."""

import json
import shlex
import shutil
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from samcli.commands.deploy.command import cli as sam_deploy
from scripts import run, stub, work_tree
from translate import ROOT, translated

SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())


@pytest.fixture(scope="module", autouse=True)
def surroundings():
    missing = [name for name in ("bash", "curl", "git", "jq", "python3") if not shutil.which(name)]
    assert not missing, f"the scripts need {', '.join(missing)}"
    with pytest.MonkeyPatch.context() as patch:
        # The translation wants some region.
        patch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        yield


@pytest.fixture(scope="module")
def resulting():
    """template.yaml as CloudFormation sees it."""
    return translated()


# --- deploy


@pytest.fixture
def deploy(tmp_path, monkeypatch):
    """What `sam` is told for an environment, and what it makes of that."""
    stubs = stub(tmp_path / "stubs", "sam", "import json, os, sys; print(json.dumps([os.getcwd(), *sys.argv[1:]]))")
    tree = work_tree(tmp_path / "tree", "samconfig.toml")
    shutil.copy(ROOT / "template.yaml", tree / "template.yaml")

    def told(environment, **variables):
        done = run("deploy", environment, tree, root=tree, stubs=stubs, **variables)
        assert done.returncode == 0, done.stderr
        folder, command, *options = json.loads(done.stdout)
        assert command == "deploy"
        monkeypatch.chdir(folder)
        with sam_deploy.make_context("deploy", list(options)) as context:
            return options, context.params

    return told


@pytest.mark.parametrize("environment", ["default", "staging", "prod"])
def test_an_environment_is_deployed_with_what_samconfig_gives(environment, deploy):
    options, facts = deploy(environment, PARAMETERS="", AWS_EXECUTION_ROLE="", AWS_PERMISSIONS_BOUNDARY="")
    config = SAMCONFIG[environment]
    assert options[options.index("--config-env") + 1] == environment
    assert options[options.index("--template-file") + 1] == "template.yaml"
    assert facts["stack_name"] == config["global"]["parameters"]["stack_name"]
    assert facts["parameter_overrides"] == dict(
        item.split("=", 1) for item in config["deploy"]["parameters"]["parameter_overrides"]
    )
    # Nobody is there to be asked, and nothing to change is no mistake.
    assert (facts["confirm_changeset"], facts["fail_on_empty_changeset"]) == (False, False)
    assert (facts["role_arn"], facts["s3_bucket"], facts["resolve_s3"]) == (None, None, True)


def test_of_a_parameter_the_workflow_has_the_last_word(deploy):
    given = SAMCONFIG["staging"]["deploy"]["parameters"]["parameter_overrides"]
    options, facts = deploy(
        "staging",
        AWS_PERMISSIONS_BOUNDARY="arn:aws:iam::123456789012:policy/boundary",
        PARAMETERS="LogRetentionDays=30  SubnetIds=subnet-0a,subnet-0b",
    )
    names = [item.split("=")[0] for item in options[options.index("--parameter-overrides") + 1 :]]
    own = [item.split("=")[0] for item in given]
    assert names == [*own, "PermissionsBoundaryArn", "LogRetentionDays", "SubnetIds"]
    assert facts["parameter_overrides"] == dict(item.split("=") for item in given) | {
        "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
        "LogRetentionDays": "30",
        "SubnetIds": "subnet-0a,subnet-0b",
    }


def test_a_value_reaches_sam_whole(deploy):
    values = ["two words", "", "a=b", 'a "quoted" word', "it's", r"back\slash", "a Value7=b", "1"]
    given = {f"Value{number}": value for number, value in enumerate(values)}
    _, facts = deploy("staging", PARAMETERS=shlex.join(f"{name}={value}" for name, value in given.items()))
    assert given.items() <= facts["parameter_overrides"].items()
    # As somebody writes it.
    _, facts = deploy("staging", PARAMETERS="One='two words' Two=\"\" Three=3")
    assert {"One": "two words", "Two": "", "Three": "3"}.items() <= facts["parameter_overrides"].items()


def test_a_role_and_a_bucket_are_used_where_they_are_given(deploy):
    role = "arn:aws:iam::123456789012:role/execution"
    _, facts = deploy("prod", AWS_EXECUTION_ROLE=role)
    assert (facts["role_arn"], facts["s3_bucket"], facts["resolve_s3"]) == (role, None, True)
    # SAM's own bucket would be used otherwise: samconfig.toml says so.
    _, facts = deploy("prod", AWS_ARTIFACTS_BUCKET="artifacts")
    assert (facts["role_arn"], facts["s3_bucket"], facts["resolve_s3"]) == (None, "artifacts", False)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [(["nowhere", ROOT], ""), (["staging"], ""), (["staging", ROOT], "AlarmEmail"), (["staging", ROOT], "A='b")],
)
def test_nothing_is_deployed_to_nowhere_or_with_nonsense(arguments, parameters, tmp_path):
    stubs = stub(tmp_path / "stubs", "sam", "print('deployed')")
    done = run("deploy", *arguments, stubs=stubs, PARAMETERS=parameters)
    assert done.returncode != 0
    assert done.stdout == ""


# --- after-deployment

KEY = "k3yThatNobodyMaySee0123456789abcdefghij"
MIGRATE, COLLECT = '{"action":"migrate"}', "{}"

# Answers as AWS does, once `--query` is applied, and keeps what it was asked.
AWS = """
import json, os, sys
import jmespath
told = json.load(open(os.environ["TOLD"]))
_, operation, *arguments = sys.argv[1:]
of = lambda option: arguments[arguments.index(option) + 1]
with open(told["calls"], "a") as calls:
    print(json.dumps([sys.argv, os.environ.get("AWS_MAX_ATTEMPTS")]), file=calls)
if "--stack-name" in arguments and of("--stack-name") != told["stack"]:
    sys.exit("no such stack")
if operation == "describe-stack-resource":
    answer = {"StackResourceDetail": {"PhysicalResourceId": told["resources"][of("--logical-resource-id")]}}
elif operation == "describe-stacks":
    outputs = [{"OutputKey": k, "OutputValue": v} for k, v in told["outputs"].items()]
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in told["parameters"].items()]
    answer = {"Stacks": [{"Outputs": outputs, "Parameters": parameters}]}
elif operation == "get-api-key" and of("--api-key") == told["resources"]["ApiKey"]:
    answer = {"name": "gateway"} | ({"value": told["key"]} if "--include-value" in arguments else {})
elif operation == "invoke" and of("--function-name") in (told["resources"]["Collector"], told["outputs"]["MigratorFunction"]):
    with open(told["calls"] + "-of", "a") as functions:
        print(of("--function-name"), file=functions)
    payload = told["answers"][of("--payload")]
    with open(arguments[-1], "w") as file:
        json.dump(payload, file)
    answer = {"StatusCode": 200} | ({"FunctionError": "Unhandled"} if "errorType" in payload else {})
else:
    sys.exit(f"unexpected: {operation}")
assert of("--output") == "text"
found = jmespath.search(of("--query"), answer)
print("\\t".join(found) if isinstance(found, list) else found)
"""

# The real one, with other patience.
CURL = f"""
import json, os, sys
told = json.load(open(os.environ["TOLD"]))
with open(told["calls"], "a") as calls:
    print(json.dumps([sys.argv, None]), file=calls)
os.execv({shutil.which("curl")!r}, [*sys.argv, *told["patience"]])
"""


class Api(ThreadingHTTPServer):
    """The deployed API: what it answers, the last answer again and again, and what it was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.answers = {
            "/v1/health": [(200, {"status": "stale", "database": "ok", "schema": "ok"})],
            "/v1/teams": [(200, {"data": [{"slug": "platform"}, {"slug": "web"}]})],
        }
        self.without_key = 403


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        key, api = self.headers["x-api-key"], self.server
        api.asked.append((self.path, key))
        answers = api.answers[self.path]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if key is None:
            status, body = api.without_key, {"message": "Forbidden"}
        if status is None:
            return
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


class Deployment:
    """A stack after its deployment, and the script's way through it."""

    def __init__(self, folder, api, resulting):
        self.folder, self.api = folder, api
        self.patience = ["--retry", "0"]
        self.resources = {name: f"id-of-{name}" for name in resulting["Resources"]}
        self.outputs = {name: "" for name in resulting["Outputs"]}
        self.outputs["ApiUrl"] = f"http://127.0.0.1:{api.server_port}/v1"
        self.outputs["MigratorFunction"] = self.resources["Collector"]
        self.parameters = {"AllowedCidrs": "", "AlarmEmail": "ops@example.com"}
        self.answers = {
            MIGRATE: {"action": "migrate"},
            COLLECT: {"action": "plan", "run": 7, "queued": 12, "problems": ["acme/*: not found"]},
        }

    def check(self, environment="staging", **variables):
        stub(self.folder / "stubs", "aws", AWS)
        stub(self.folder / "stubs", "curl", CURL)
        (self.folder / "scratch").mkdir()
        told = {name: getattr(self, name) for name in ("patience", "resources", "outputs", "parameters", "answers")}
        told |= {"stack": f"mergeline-{environment}", "key": KEY, "calls": str(self.folder / "calls")}
        (self.folder / "told.json").write_text(json.dumps(told))
        (self.folder / "calls").touch()
        self.done = run(
            "after-deployment",
            environment,
            stubs=self.folder / "stubs",
            TOLD=str(self.folder / "told.json"),
            TMPDIR=str(self.folder / "scratch"),
            **variables,
        )
        self.calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        self.invoked = [command[command.index("--payload") + 1] for command, _ in self.calls if "invoke" in command]
        # Whatever happened: nobody saw the key, and nothing is left.
        shown = [line for line in self.done.stdout.splitlines() if not line.startswith("::add-mask::")]
        assert KEY not in "\n".join([*shown, self.done.stderr, json.dumps(self.calls)])
        assert list((self.folder / "scratch").iterdir()) == []
        return self.done

    def fails(self, message, **given):
        assert self.check(**given).returncode == 1
        assert self.done.stderr.splitlines()[-1] == f"error: {message}"


@pytest.fixture
def deployment(tmp_path, resulting):
    with Api() as api:
        # Stops soon after it is told to.
        thread = threading.Thread(target=api.serve_forever, args=[0.01])
        thread.start()
        yield Deployment(tmp_path, api, resulting)
        api.shutdown()
        thread.join()


def test_with_three_logins_another_function_migrates(deployment):
    deployment.outputs["MigratorFunction"] = deployment.resources["Migrator"]
    deployment.answers[MIGRATE] = {"action": "migrate", "statements": "CREATE ROLE mergeline_writer LOGIN"}
    assert deployment.check().returncode == 0
    functions = (deployment.folder / "calls-of").read_text().split()
    assert functions == [deployment.resources["Migrator"], deployment.resources["Collector"]]
    assert "an administrator of the database has to run: CREATE ROLE mergeline_writer LOGIN" in deployment.done.stdout


def test_a_good_deployment_is_migrated_then_collected_then_asked(deployment):
    done = deployment.check()
    assert done.returncode == 0, done.stderr
    assert deployment.invoked == [MIGRATE, COLLECT]
    assert deployment.api.asked == [("/v1/health", KEY), ("/v1/teams", KEY), ("/v1/teams", None)]
    assert [line for line in done.stdout.splitlines() if line] == [
        "== Migrate",
        "== Begin a collection",
        "run 7, 12 repositories to be read",
        "problem: acme/*: not found",
        "== Ask the API",
        "health: stale, database ok, schema ok",
        "teams: 2",
        "without a key: 403",
    ]


def test_an_invocation_is_waited_for_and_not_repeated(deployment):
    deployment.check()
    invocations = [(command, attempts) for command, attempts in deployment.calls if "invoke" in command]
    assert len(invocations) == 2
    for command, attempts in invocations:
        assert attempts == "1"
        assert command[command.index("--cli-read-timeout") + 1] == "900"


def test_github_is_told_to_mask_the_key(deployment):
    done = deployment.check("prod", GITHUB_ACTIONS="true")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(KEY) == 1
    assert f"\n::add-mask::{KEY}\n" in done.stdout


@pytest.mark.parametrize(("payload", "invoked"), [(MIGRATE, [MIGRATE]), (COLLECT, [MIGRATE, COLLECT])])
def test_what_fails_in_the_collector_is_told_and_ends_it(payload, invoked, deployment):
    deployment.answers[payload] = {"errorType": "secret_empty", "errorMessage": "the secret has no value yet"}
    deployment.fails(f"the collector failed on {payload}: secret_empty: the secret has no value yet")
    assert deployment.invoked == invoked
    assert deployment.api.asked == []


def test_a_collector_that_cannot_be_invoked_ends_it(deployment):
    del deployment.answers[MIGRATE]
    assert deployment.check().returncode != 0
    assert deployment.invoked == [MIGRATE]
    assert deployment.api.asked == []


def test_a_collector_that_does_something_else_ends_it(deployment):
    deployment.answers[MIGRATE] = {"action": "plan", "run": 7, "queued": 12, "problems": []}
    deployment.fails("the collector did something else than to migrate")
    assert deployment.invoked == [MIGRATE]


@pytest.mark.parametrize("path", ["health", "teams"])
def test_an_api_that_fails_is_quoted(path, deployment):
    deployment.api.answers[f"/v1/{path}"] = [(500, {"error": {"code": "internal"}})]
    deployment.fails(f'GET /{path}: {{"error": {{"code": "internal"}}}}')


def test_a_key_that_is_too_new_is_tried_again(deployment):
    deployment.patience = ["--retry-delay", "1"]
    deployment.api.answers["/v1/health"].insert(0, (403, {"message": "Forbidden"}))
    done = deployment.check()
    assert done.returncode == 0, done.stderr
    assert [path for path, _ in deployment.api.asked] == ["/v1/health", "/v1/health", "/v1/teams", "/v1/teams"]


def test_teams_are_a_list(deployment):
    deployment.api.answers["/v1/teams"] = [(200, {"data": {}})]
    deployment.fails("GET /teams is no list of teams")


@pytest.mark.parametrize("status", [200, 500])
def test_without_a_key_nothing_but_403_is_good(status, deployment):
    deployment.api.without_key = status
    deployment.fails(f"GET /teams without a key is answered with {status}, not 403")


def test_without_a_key_no_answer_is_not_good_either(deployment):
    deployment.api.without_key = None
    assert deployment.check().returncode != 0
    assert "Empty reply" in deployment.done.stderr


def test_an_api_that_is_closed_to_the_runner_is_not_asked(deployment):
    deployment.parameters["AllowedCidrs"] = "203.0.113.0/24"
    done = deployment.check()
    assert (done.returncode, deployment.invoked, deployment.api.asked) == (0, [MIGRATE, COLLECT], [])
    assert done.stdout.splitlines()[-1] == "not asked: the stack takes requests from other networks only"


@pytest.mark.parametrize(("status", "code"), [(403, 0), (200, 1)])
def test_an_api_that_takes_signed_requests_is_asked_without_a_signature(status, code, deployment):
    deployment.parameters["Authorizer"] = "iam"
    # There is no key then.
    del deployment.resources["ApiKey"]
    deployment.api.without_key = status
    assert deployment.check().returncode == code
    assert deployment.api.asked == [("/v1/teams", None)]
    assert ("without a signature: 403" in deployment.done.stdout) is (status == 403)


@pytest.mark.parametrize(("status", "code"), [(401, 0), (403, 1), (200, 1)])
def test_an_api_that_takes_tokens_is_asked_without_one(status, code, deployment):
    deployment.parameters["Authorizer"] = "jwt"
    del deployment.resources["ApiKey"]
    deployment.api.without_key = status
    assert deployment.check().returncode == code
    assert deployment.api.asked == [("/v1/teams", None)]
    assert ("without a token: 401" in deployment.done.stdout) is (status == 401)


def test_a_private_api_is_not_asked(deployment):
    deployment.outputs["ApiUrl"] = "https://a1b2c3-vpce-0a1b2c.execute-api.eu-north-1.amazonaws.com/v1"
    assert deployment.check().returncode == 0
    assert deployment.api.asked == []


def test_an_environment_that_is_not_there_is_left_alone(deployment):
    assert deployment.check("nowhere").returncode != 0
    assert deployment.calls == []
