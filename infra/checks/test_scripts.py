"""The scripts of .github/scripts, which otherwise only GitHub runs, with everything outside of them played by stubs."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock, call

import pytest
from samcli.commands.deploy.command import cli as sam_deploy
from samcli.lib.package.utils import upload_local_artifacts
from samtranslator.yaml_helper import yaml_parse
from translate import ROOT, source, translated

SCRIPTS = ".github/scripts"
SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
# What could lead a script elsewhere than to the stubs.
MEANT_FOR_OTHERS = re.compile(r"(AWS|GIT|GITHUB|CURL)_|PARAMETERS$|.*_proxy$", re.IGNORECASE)


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


def run(script, *arguments, root=ROOT, stubs=None, **variables):
    """Runs a script of a work tree, with the stubs before all other programs."""
    environment = {name: value for name, value in os.environ.items() if not MEANT_FOR_OTHERS.match(name)}
    if stubs:
        environment["PATH"] = f"{stubs}:{environment['PATH']}"
    command = [root / SCRIPTS / script, *arguments]
    if script == "with-built-functions":
        command.insert(0, sys.executable)
    return subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)


def stub(folder, name, text, interpreter=sys.executable):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{interpreter}\n{text}")
    (folder / name).chmod(0o755)
    return folder


def work_tree(folder, *paths):
    """The scripts and these files, elsewhere."""
    shutil.copytree(ROOT / SCRIPTS, folder / SCRIPTS)
    for path in paths:
        shutil.copy(ROOT / path, folder / path)
    return folder


# --- deploy


@pytest.fixture
def deploy(tmp_path, monkeypatch):
    """What `sam` is told for an environment, and what it makes of that."""
    stubs = stub(tmp_path / "stubs", "sam", "import json, os, sys; print(json.dumps([os.getcwd(), *sys.argv[1:]]))")
    tree = work_tree(tmp_path / "tree", "samconfig.toml")
    shutil.copy(ROOT / "template.yaml", tree / "deployed.yaml")

    def told(environment, **variables):
        done = run("deploy", environment, root=tree, stubs=stubs, **variables)
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
    assert options[options.index("--template-file") + 1] == "deployed.yaml"
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
    ("arguments", "parameters"), [(["nowhere"], ""), ([], ""), (["staging"], "AlarmEmail"), (["staging"], "A='b")]
)
def test_nothing_is_deployed_to_nowhere_or_with_nonsense(arguments, parameters, tmp_path):
    stubs = stub(tmp_path / "stubs", "sam", "print('deployed')")
    done = run("deploy", *arguments, stubs=stubs, PARAMETERS=parameters)
    assert done.returncode != 0
    assert done.stdout == ""


# --- with-built-functions


@pytest.fixture
def built(tmp_path):
    """A work tree with what .ci/build-arm64 leaves."""
    tree = work_tree(tmp_path / "tree", "template.yaml", "samconfig.toml")
    (tree / "target/lambda").mkdir(parents=True)
    for name in ("api", "collector"):
        shutil.make_archive(tree / "target/lambda" / name, "zip", tree / SCRIPTS)
    return tree


def test_functions_are_the_files_that_were_built_and_nothing_else_changes(built, resulting):
    done = run("with-built-functions", root=built)
    assert done.returncode == 0, done.stderr
    expected = source()
    for name in ("Api", "Collector"):
        del expected["Resources"][name]["Metadata"]
        expected["Resources"][name]["Properties"]["CodeUri"] = f"target/lambda/{name.lower()}.zip"
    printed = yaml_parse(done.stdout)
    assert printed == expected
    assert translated(template=printed) == resulting
    # SAM would build what has a method.
    assert "BuildMethod" not in done.stdout


def test_sam_uploads_the_very_files(built):
    uploader = Mock()
    template = yaml_parse(run("with-built-functions", root=built).stdout)
    for name in ("Api", "Collector"):
        facts = template["Resources"][name]["Properties"]
        upload_local_artifacts("AWS::Serverless::Function", name, facts, "CodeUri", str(built), uploader)
    assert uploader.upload_with_dedup.call_args_list == [
        call(str(built / "target/lambda/api.zip")),
        call(str(built / "target/lambda/collector.zip")),
    ]


@pytest.mark.parametrize("missing", ["api", "collector"])
def test_a_function_that_was_not_built_is_missed(missing, built):
    (built / f"target/lambda/{missing}.zip").unlink()
    done = run("with-built-functions", root=built)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no target/lambda/{missing}.zip; run .ci/build-arm64 first\n"


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
elif operation == "invoke" and of("--function-name") == told["resources"]["Collector"]:
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


def test_a_private_api_is_not_asked(deployment):
    deployment.outputs["ApiUrl"] = "https://a1b2c3-vpce-0a1b2c.execute-api.eu-north-1.amazonaws.com/v1"
    assert deployment.check().returncode == 0
    assert deployment.api.asked == []


def test_an_environment_that_is_not_there_is_left_alone(deployment):
    assert deployment.check("nowhere").returncode != 0
    assert deployment.calls == []


# --- check-release, changes-of

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


class Repository:
    """A work tree on main, whose changelog names the version."""

    def __init__(self, folder):
        self.folder = work_tree(folder, "Cargo.toml", "CHANGELOG.md")
        self.git("init", "--quiet", "--initial-branch=main")
        self.changelog(f"## {VERSION}\n\n- Is new.\n\n### How\n\n- By hand.\n\n## 0.0.1\n\n- Is old.\n")
        self.commit()

    def git(self, *arguments):
        who = {f"GIT_{of}_{what}": "test@example.com" for of in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.folder, env=environment | settings | who, check=True)

    def changelog(self, text):
        before = (ROOT / "CHANGELOG.md").read_text()
        (self.folder / "CHANGELOG.md").write_text(f"{before}\n{text}")

    def commit(self, on_main=True):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change")
        if on_main:
            self.git("update-ref", "refs/remotes/origin/main", "HEAD")

    def refuses(self, tag, message):
        done = run("check-release", tag, root=self.folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: {message}\n"


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


@pytest.mark.parametrize("annotated", [[], ["--annotate", "--message=release"]])
def test_a_tag_on_main_with_its_version_is_released_with_its_changes(annotated, repository):
    repository.git("tag", *annotated, f"v{VERSION}")
    # Main may have gone on.
    repository.commit()
    done = run("check-release", f"v{VERSION}", root=repository.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "- Is new.\n\n### How\n\n- By hand."


@pytest.mark.parametrize("tag", ["v99.0.0", VERSION, f"v{VERSION}-rc.1"])
def test_a_tag_of_another_version_is_not_released(tag, repository):
    repository.git("tag", tag)
    repository.refuses(tag, f"the tag is {tag}, but Cargo.toml says {VERSION}")


def test_a_tag_beside_main_is_not_released(repository):
    repository.commit(on_main=False)
    repository.git("tag", f"v{VERSION}")
    repository.refuses(f"v{VERSION}", f"v{VERSION} does not lie on main")


@pytest.mark.parametrize(
    "changelog",
    ["", f"## {VERSION}\n\n## 0.0.1\n\n- Is old.\n", f"## {VERSION}-rc.1\n\n- Try.\n", f"## {VERSION}0\n\n- New.\n"],
)
def test_a_version_without_changes_is_not_released(changelog, repository):
    repository.changelog(changelog)
    repository.commit()
    repository.git("tag", f"v{VERSION}")
    repository.refuses(f"v{VERSION}", f"CHANGELOG.md says nothing of {VERSION}")


def test_a_heading_may_say_when(repository):
    repository.changelog(f"## {VERSION} (2030-01-31)\n\n- Is new.\n")
    assert run("changes-of", VERSION, root=repository.folder).stdout.strip() == "- Is new."


# --- gather-release

CARGO = """
[ "$1" = cyclonedx ] || exit 1
for list in lambda/api lambda/collector cli/mergeline; do
  mkdir -p "crates/${list%/*}"
  printf '{"of":"%s"}' "$list" > "crates/${list}_bin.cdx.json"
done
"""


def test_a_release_is_the_functions_their_parts_and_checksums(built, tmp_path):
    done = run("gather-release", "target/dist", root=built, stubs=stub(tmp_path / "stubs", "cargo", CARGO, "/bin/bash"))
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (built / "target/dist").iterdir()}
    sums = files.pop("SHA256SUMS").decode()
    assert sorted(files) == ["api-arm64.zip", "api.cdx.json", "collector-arm64.zip", "collector.cdx.json"]
    for name in ("api", "collector"):
        assert files[f"{name}-arm64.zip"] == (built / f"target/lambda/{name}.zip").read_bytes()
        assert json.loads(files[f"{name}.cdx.json"]) == {"of": f"lambda/{name}"}
    assert dict(reversed(line.split()) for line in sums.splitlines()) == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert list(built.glob("crates/**/*.json")) == []


def test_a_release_lacks_no_function(built, tmp_path):
    (built / "target/lambda/api.zip").unlink()
    done = run("gather-release", "target/dist", root=built, stubs=stub(tmp_path / "stubs", "cargo", CARGO, "/bin/bash"))
    assert done.returncode != 0
    assert not (built / "target/dist/SHA256SUMS").exists()
