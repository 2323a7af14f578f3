"""The scripts that make a release, and what uses its files, with everything outside of them played by stubs."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from unittest.mock import Mock, call

import pytest
import yaml
from samcli.lib.package.utils import upload_local_artifacts
from samtranslator.yaml_helper import yaml_parse
from scripts import run, stub, work_tree
from translate import ROOT, source, translated

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
TARGETS = ["aarch64-apple-darwin", "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"]
ARCHIVES = [f"mergeline-{VERSION}-{target}.tar.gz" for target in TARGETS]
FORMULA = (ROOT / "infra/homebrew/mergeline.rb").read_text()
ACTION = ROOT / ".github/actions/report"


def workflow(name):
    return yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())


def functions(template):
    return {name: it for name, it in template["Resources"].items() if it["Type"] == "AWS::Serverless::Function"}


def members(archive):
    with tarfile.open(archive) as tar:
        return {entry.name: entry for entry in tar.getmembers()}


@pytest.fixture(scope="module", autouse=True)
def surroundings():
    missing = [name for name in ("bash", "git", "python3", "tar") if not shutil.which(name)]
    assert not missing, f"the scripts need {', '.join(missing)}"
    with pytest.MonkeyPatch.context() as patch:
        # The translation wants some region, and packing some time.
        patch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
        patch.setenv("SOURCE_DATE_EPOCH", "1750000000")
        yield


# --- package-aws


@pytest.fixture
def built(tmp_path):
    """A work tree with what .ci/build-arm64 leaves."""
    infra = [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("infra/*.yaml"), *ROOT.glob("infra/*.json")]]
    tree = work_tree(tmp_path / "tree", "template.yaml", "samconfig.toml", "LICENSE", "infra/homebrew/mergeline.rb", *infra)
    shutil.copytree(ROOT / "infra/config", tree / "infra/config")
    (tree / "target/lambda").mkdir(parents=True)
    for name in ("api", "collector"):
        (tree / f"target/lambda/{name}.zip").write_text(f"the {name}")
    return tree


def test_what_is_deployed_are_the_built_functions_and_nothing_else_changes(built):
    done = run("package-aws", built / "target/aws", root=built)
    assert done.returncode == 0, done.stderr
    expected = source()
    for function in functions(expected).values():
        binary = function.pop("Metadata")["BuildProperties"]["Binary"]
        function["Properties"]["CodeUri"] = f"{binary}.zip"
    written = (built / "target/aws/template.yaml").read_text()
    assert yaml_parse(written) == expected
    assert translated(template=yaml_parse(written)) == translated()
    # SAM would build what has a method.
    assert "BuildMethod" not in written


def test_everything_that_sam_uploads_lies_beside_the_template(built):
    run("package-aws", built / "target/aws", root=built)
    aws, uploader, uploaded = built / "target/aws", Mock(), []
    template = yaml_parse((aws / "template.yaml").read_text())
    for name, function in functions(template).items():
        upload_local_artifacts("AWS::Serverless::Function", name, function["Properties"], "CodeUri", str(aws), uploader)
        uploaded.append(call(str(aws / function["Properties"]["CodeUri"])))
    assert uploader.upload_with_dedup.call_args_list == uploaded
    for layer in (it for it in template["Resources"].values() if it["Type"] == "AWS::Serverless::LayerVersion"):
        assert (aws / layer["Properties"]["ContentUri"]).is_dir()
    assert (aws / "infra/config/teams.yaml").read_bytes() == (ROOT / "infra/config/teams.yaml").read_bytes()
    assert (aws / "samconfig.toml").read_bytes() == (ROOT / "samconfig.toml").read_bytes()
    for kind in ("*.yaml", "*.json"):
        assert {path.name for path in (aws / "infra").glob(kind)} == {path.name for path in ROOT.glob(f"infra/{kind}")} != set()


@pytest.mark.parametrize("missing", ["api", "collector"])
def test_a_function_that_was_not_built_is_missed(missing, built):
    (built / f"target/lambda/{missing}.zip").unlink()
    done = run("package-aws", built / "target/aws", root=built)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: no target/lambda/{missing}.zip; run .ci/build-arm64 first\n"
    assert not (built / "target/aws").exists()


# --- check-release, changes-of


class Repository:
    """A work tree on main, whose changelog names the version."""

    def __init__(self, folder):
        self.folder = work_tree(folder)
        self.git("init", "--quiet", "--initial-branch=main")
        self.changelog(f"## {VERSION}\n\n- Is new.\n\n### How\n\n- By hand.\n\n## 0.0.1\n\n- Is old.\n")
        self.commit()

    def git(self, *arguments):
        who = {f"GIT_{of}_{what}": "test@example.com" for of in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", *arguments], cwd=self.folder, env=environment | settings | who, check=True)

    def changelog(self, text):
        (self.folder / "CHANGELOG.md").write_text(f"# Changes\n\n## Unreleased\n\n- Is not released.\n\n{text}")

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


# --- pack-program

PROGRAM = f"""
case "$1" in
  --version) echo "mergeline {VERSION} (0123456789ab)" ;;
  completions) echo "completions for $2" ;;
  man) echo one > "$2/mergeline.1"; echo two > "$2/mergeline-collect.1" ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def program(tmp_path):
    tree = work_tree(tmp_path / "tree", "LICENSE", "README.md")
    return tree, stub(tmp_path / "built", "a name", PROGRAM, "/bin/bash") / "a name"


def pack(program, target=TARGETS[-1], **variables):
    tree, path = program
    return run(".ci/pack-program", path, target, tree / "packed", root=tree, **variables)


def test_an_archive_has_the_program_its_pages_and_completions(program):
    done = pack(program)
    assert done.returncode == 0, done.stderr
    archive = program[0] / "packed" / ARCHIVES[-1]
    assert done.stdout == f"{archive}\n"
    top, found = f"mergeline-{VERSION}-{TARGETS[-1]}", members(archive)
    assert {name.removeprefix(f"{top}/") for name, entry in found.items() if entry.isfile()} == {
        "LICENSE",
        "README.md",
        "completions/_mergeline",
        "completions/mergeline.bash",
        "completions/mergeline.fish",
        "man/man1/mergeline-collect.1",
        "man/man1/mergeline.1",
        "mergeline",
    }
    assert found[f"{top}/mergeline"].mode == 0o755
    with tarfile.open(archive) as opened:
        readme = opened.extractfile(f"{top}/README.md").read().decode()
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert f"https://github.com/mergeline/mergeline/blob/v{VERSION}/docs/teams.md#goals" in links
    assert f"https://github.com/mergeline/mergeline/raw/v{VERSION}/docs/dashboard.png" in links
    # Nothing leads to files that are not in the archive.
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert found[f"{top}/LICENSE"].mode == 0o644


def test_the_same_program_gives_the_same_bytes(program):
    archive = program[0] / "packed" / ARCHIVES[-1]
    contents = []
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        try:
            assert pack(program).returncode == 0
        finally:
            os.umask(before)
        os.utime(program[1], (1, 1))
        contents.append(archive.read_bytes())
    assert contents[0] == contents[1]
    entries = members(archive).values()
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
        (0, 0, "", "", 1750000000)
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((f"mergeline {VERSION} (", "mergeline 99.0.0 ("), "the program says that it is mergeline 99.0.0"),
        ((f"mergeline {VERSION} (", f"mergeline {VERSION}0 ("), "the program says that it is mergeline"),
        (('"$2/mergeline.1"', '"$2/other.1"'), "`mergeline man` wrote no mergeline.1"),
        (('echo "completions for $2"', "exit 3"), "`mergeline completions` ended with 3"),
    ],
)
def test_a_program_that_is_not_the_release_is_not_packed(change, message, program):
    program[1].write_text(program[1].read_text().replace(*change))
    done = pack(program)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert not (program[0] / "packed").exists()


def test_a_program_of_another_machine_is_run_by_an_emulator(program, tmp_path):
    emulator = stub(tmp_path / "stubs", "emulator", 'shift\nexec bash "$@"\n', "/bin/bash") / "emulator"
    program[1].chmod(0o644)
    assert pack(program).returncode != 0
    assert pack(program, RUNNER=f"{emulator} -L").returncode == 0


# --- gather-release

CARGO = """
[ "$1" = cyclonedx ] || exit 1
of="$*"
for list in lambda/api lambda/collector cli/mergeline; do
  mkdir -p "crates/${list%/*}"
  printf '{"of":"%s","with":"%s"}' "$list" "${of#*--no-build-deps }" > "crates/${list}_bin.cdx.json"
done
"""


@pytest.fixture
def gathered(built, tmp_path):
    """What gather-release makes of a work tree."""
    (built / "target/programs").mkdir()
    for archive in ARCHIVES:
        (built / f"target/programs/{archive}").write_text(archive)
    (built / "target/sam").mkdir()
    stub(built / "target/sam/bin", "python", f"exec {sys.executable} \"$@\"\n", "/bin/sh")
    stubs = stub(tmp_path / "stubs", "cargo", CARGO, "/bin/bash")
    return lambda: run("gather-release", "target/dist", root=built, stubs=stubs)


def test_a_release_is_programs_functions_their_parts_and_checksums(gathered, built):
    done = gathered()
    assert done.returncode == 0, done.stderr
    files = {path.name: path.read_bytes() for path in (built / "target/dist").iterdir()}
    sums = files.pop("SHA256SUMS").decode()
    parts = [f"mergeline-{target}.cdx.json" for target in TARGETS]
    assert sorted(files) == sorted(
        ["api-arm64.zip", "api.cdx.json", "collector-arm64.zip", "collector.cdx.json", *ARCHIVES, *parts]
        + ["mergeline-aws.tar.gz", "mergeline.rb"]
    )
    for name in ("api", "collector"):
        assert files[f"{name}-arm64.zip"] == (built / f"target/lambda/{name}.zip").read_bytes()
        assert json.loads(files[f"{name}.cdx.json"])["of"] == f"lambda/{name}"
    for target in TARGETS:
        parts = json.loads(files[f"mergeline-{target}.cdx.json"])
        assert parts == {"of": "cli/mergeline", "with": f"--features aws --target {target}"}
    assert dict(reversed(line.split()) for line in sums.splitlines()) == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    assert list(built.glob("crates/**/*.json")) == []


def test_what_is_attested_is_what_is_deployed(gathered, built, tmp_path):
    assert gathered().returncode == 0
    with tarfile.open(built / "target/dist/mergeline-aws.tar.gz") as tar:
        tar.extractall(tmp_path / "out", filter="data")
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == f"mergeline-aws-{VERSION}"
    for name in ("api", "collector"):
        attested = (built / f"target/dist/{name}-arm64.zip").read_bytes()
        assert (folder / f"{name}.zip").read_bytes() == attested
    # All that `deploy` needs, with SAM alone.
    stubs = stub(tmp_path / "stubs", "sam", "import os; print(os.listdir('.'))")
    done = run("deploy", "staging", folder, stubs=stubs)
    assert {"template.yaml", "samconfig.toml", "infra", "api.zip", "collector.zip"} <= set(eval(done.stdout))


@pytest.mark.parametrize("missing", ["lambda/api.zip", f"programs/{ARCHIVES[0]}"])
def test_a_release_lacks_no_program(missing, gathered, built):
    (built / "target" / missing).unlink()
    assert gathered().returncode != 0
    assert not (built / "target/dist/SHA256SUMS").exists()


# --- fetch-release

GH = """
import json, os, shutil, sys
of = lambda option: sys.argv[sys.argv.index(option) + 1]
with open(os.environ["CALLS"], "a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
if sys.argv[1:3] == ["release", "download"]:
    shutil.copy(os.path.join(os.environ["RELEASE"], of("--pattern")), of("--dir"))
elif sys.argv[1:3] == ["attestation", "verify"]:
    sys.exit(int(os.environ.get("REFUSES", "0")))
else:
    sys.exit(f"unexpected: {sys.argv}")
"""


@pytest.fixture
def published(gathered, built, tmp_path):
    """A release, and a `gh` that fetches from it."""
    assert gathered().returncode == 0
    stubs = stub(tmp_path / "gh", "gh", GH)
    given = {"stubs": stubs, "CALLS": str(tmp_path / "calls"), "RELEASE": str(built / "target/dist")}
    return given, lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def test_a_tag_deploys_the_verified_files_of_its_release(published, tmp_path):
    given, calls = published
    done = run("fetch-release", "v1.2.3", "acme/copy", tmp_path / "aws", **given)
    assert done.returncode == 0, done.stderr
    download, verify = calls()
    assert download[:5] == ["release", "download", "v1.2.3", "--repo", "acme/copy"]
    assert verify[2].endswith("/mergeline-aws.tar.gz")
    assert verify[3:] == [
        *("--repo", "acme/copy", "--source-ref", "refs/tags/v1.2.3"),
        *("--signer-workflow", "acme/copy/.github/workflows/release.yml", "--deny-self-hosted-runners"),
    ]
    assert {"template.yaml", "api.zip", "infra"} <= {path.name for path in (tmp_path / "aws").iterdir()}


def test_files_that_are_not_verified_are_not_unpacked(published, tmp_path):
    given, _ = published
    assert run("fetch-release", "v1.2.3", "acme/copy", tmp_path / "aws", REFUSES="1", **given).returncode != 0
    assert not (tmp_path / "aws").exists()


def test_the_workflow_builds_branches_and_fetches_tags():
    steps = {step.get("run", step.get("uses")): step.get("if") for step in workflow("deploy")["jobs"]["build"]["steps"]}
    tag, branch = "github.ref_type == 'tag'", "github.ref_type != 'tag'"
    assert [it for text, it in steps.items() if "fetch-release" in text] == [tag]
    assert [it for text, it in steps.items() if ".ci/build-arm64" in text or "actions/rust" in text] == [branch, branch]


def test_the_job_that_signs_runs_none_of_our_code():
    publish = workflow("release")["jobs"]["publish"]
    assert not [step for step in publish["steps"] if "checkout" in step.get("uses", "") or step.get("uses", "").startswith("./")]
    assert not re.search(r"artifacts/\S+ *\||\.ci/|\.github/|bash artifacts|tar ", json.dumps([s.get("run", "") for s in publish["steps"]]))
    # The others may sign and publish nothing.
    for name, job in workflow("release")["jobs"].items():
        assert name == "publish" or job["permissions"] == {"contents": "read"}, name


def test_every_program_of_a_release_is_built_and_attested():
    jobs = workflow("release")["jobs"]
    assert sorted(it["target"] for it in jobs["program"]["strategy"]["matrix"]["include"]) == TARGETS
    attested = [step["with"] for step in jobs["publish"]["steps"] if "actions/attest" in step.get("uses", "")]
    assert {it["subject-path"]: it["sbom-path"] for it in attested if "sbom-path" in it} == {
        **{f"artifacts/dist/{name}-arm64.zip": f"artifacts/dist/{name}.cdx.json" for name in ("api", "collector")},
        **{f"artifacts/dist/mergeline-*-{it}.tar.gz": f"artifacts/dist/mergeline-{it}.cdx.json" for it in TARGETS},
    }
    assert attested[0] == {"subject-path": "artifacts/dist/*"}


# --- where the files of a release are looked for


def test_homebrew_installs_the_files_of_the_release(gathered, built):
    assert gathered().returncode == 0
    formula = (built / "target/dist/mergeline.rb").read_text()
    assert "@VERSION" not in formula and "@SHA256" not in formula and "Template" not in formula
    assert f'version "{VERSION}"' in formula
    found = dict(re.findall(r'url "(.*)"\n *sha256 "(.*)"', formula))
    assert found == {
        f"https://github.com/mergeline/mergeline/releases/download/v{VERSION}/{archive}": hashlib.sha256(
            archive.encode()
        ).hexdigest()
        for archive in ARCHIVES
    }


def test_homebrew_installs_what_is_in_the_archive(program):
    assert pack(program).returncode == 0
    top = f"mergeline-{VERSION}-{TARGETS[-1]}/"
    files = {name.removeprefix(top) for name in members(program[0] / "packed" / ARCHIVES[-1])}
    installed = re.findall(r'install "([^"]*)"', FORMULA)
    assert len(installed) == 4 and set(installed) <= files
    assert 'man1.install Dir["man/man1/*.1"]' in FORMULA


@pytest.mark.skipif(not shutil.which("ruby"), reason="no Ruby")
def test_the_formula_is_ruby():
    assert subprocess.run(["ruby", "-c"], input=FORMULA, text=True, capture_output=True).returncode == 0


def test_binstall_finds_the_program_in_the_archive(program):
    assert pack(program).returncode == 0
    package = tomllib.loads((ROOT / "crates/cli/Cargo.toml").read_text())
    repository = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["repository"]
    facts = {"repo": repository, "version": VERSION, "target": TARGETS[-1], "bin": "mergeline", "binary-ext": ""}
    filled = {
        name: re.sub(r"\{ ([a-z-]+) \}", lambda match: facts[match[1]], text)
        for name, text in package["package"]["metadata"]["binstall"].items()
    }
    assert filled["pkg-url"] == f"{repository}/releases/download/v{VERSION}/{ARCHIVES[-1]}"
    assert filled["bin-dir"] in members(program[0] / "packed" / ARCHIVES[-1])
    assert filled["pkg-fmt"] == "tgz"


# --- the action


@pytest.fixture
def release(program, tmp_path):
    """A release with the programs, and a `gh` that fetches from it."""
    for target in TARGETS:
        assert pack(program, target).returncode == 0
    stubs = stub(tmp_path / "gh", "gh", GH)
    return {"stubs": stubs, "CALLS": str(tmp_path / "calls"), "RELEASE": str(program[0] / "packed")}


@pytest.mark.parametrize(
    ("system", "machine", "target"),
    [("Linux", "X64", TARGETS[2]), ("Linux", "ARM64", TARGETS[1]), ("macOS", "ARM64", TARGETS[0])],
)
def test_the_action_runs_the_verified_program_of_its_machine(system, machine, target, release, tmp_path):
    given = release | {"RUNNER_OS": system, "RUNNER_ARCH": machine}
    done = run(".github/actions/report/fetch", f"v{VERSION}", tmp_path / "program", **given)
    assert done.returncode == 0, done.stderr
    download, verify = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert f"mergeline-{VERSION}-{target}.tar.gz" in download
    assert verify[verify.index("--source-ref") + 1] == f"refs/tags/v{VERSION}"
    assert verify[verify.index("--signer-workflow") + 1] == "mergeline/mergeline/.github/workflows/release.yml"
    assert os.access(tmp_path / "program/mergeline", os.X_OK)


def test_the_action_runs_nothing_that_is_not_verified_or_not_released(release, tmp_path):
    machine = {"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64"}
    for given in (machine | {"REFUSES": "1"}, {"RUNNER_OS": "Windows", "RUNNER_ARCH": "X64"}):
        assert run(".github/actions/report/fetch", f"v{VERSION}", tmp_path / "program", **release, **given).returncode != 0
        assert not (tmp_path / "program/mergeline").exists()


REPORT = """
if [ "${BREAKS:-}" ]; then echo half; exit 1; fi
printf '%s|' "$GITHUB_PAT" "$@"
"""


@pytest.mark.parametrize(
    ("teams", "what"), [("", "acme/web|"), ("teams of mine.yaml", "--teams|teams of mine.yaml|")]
)
def test_the_action_adds_a_report_to_the_summary(teams, what, tmp_path):
    program = stub(tmp_path / "stubs", "mergeline", REPORT, "/bin/bash") / "mergeline"
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    given = {"REPOSITORY": "acme/web", "TEAMS": teams, "DAYS": "30", "GITHUB_PAT": "secret"}
    done = run(".github/actions/report/report", program, GITHUB_STEP_SUMMARY=str(summary), **given)
    assert done.returncode == 0, done.stderr
    assert summary.read_text() == f"before\nsecret|report|{what}--days|30|--format|markdown|\n"


def test_a_report_that_fails_fails_the_action_and_leaves_no_half(tmp_path):
    program = stub(tmp_path / "stubs", "mergeline", REPORT, "/bin/bash") / "mergeline"
    given = {"REPOSITORY": "acme/web", "TEAMS": "", "DAYS": "30", "GITHUB_PAT": "", "BREAKS": "yes"}
    done = run(".github/actions/report/report", program, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"), **given)
    assert done.returncode == 1
    assert not (tmp_path / "summary.md").exists()


def test_the_action_and_its_document_are_of_this_version():
    action = yaml.safe_load((ACTION / "action.yml").read_text())
    assert action["inputs"]["version"]["default"] == f"v{VERSION}"
    document = (ROOT / "docs/action.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", document, re.M)) == set(action["inputs"])
    for step in action["runs"]["steps"]:
        # What somebody writes into an input is a value, and never code.
        assert "${{" not in step["run"]


def test_documents_name_the_files_of_this_version():
    named = re.compile(
        r"mergeline/mergeline:(\d\S*?)(?=[`\s]|$)|actions/report@v(\S+)|mergeline-(\d+\.\d+\.\d+(?:-rc\.\d+)?)-|download/v([^/\s]+)/"
    )
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("infra/**/*.md")]
    found = {path.name: {next(filter(None, it)) for it in named.findall(path.read_text())} for path in paths}
    assert {name for name, versions in found.items() if versions} >= {"action.md", "containers.md"}
    assert {name: versions for name, versions in found.items() if versions - {VERSION}} == {}


def test_this_version_has_an_entry_in_the_changelog():
    assert run("changes-of", VERSION).returncode == 0
