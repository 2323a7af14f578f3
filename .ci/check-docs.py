"""The part of .ci/check-docs that runs no commands, and the blocks that are to be run.

`<!-- runs offline -->` stands above a block of shell commands, above a teams file, or above a table whose first column has
commands. Each becomes a script below --blocks, in `walk` or in `others`; its first line is the place, its second says what it
needs: `serves` (its last command ends with Ctrl-C), `alone` (no server may run at the same time), `cargo-lambda`.
"""

import argparse
import functools
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = "<!-- runs offline -->"
PUNCTUATION = ";&|()<>\n"
# What a new user reads one after the other, each with what the ones before have left behind. The last one removes it.
WALK = ["README.md", "docs/teams.md", "docs/api.md", "docs/backstage.md", "docs/laptop.md"]
MOST_LINES_OF_README = 120
# The heading of the table in docs/security.md whose rows name their tests.
THREATS = "Who might try, and what stands in the way"
# Of mergeline's commands: those that end with Ctrl-C, and those that call others than GitHub.
SERVES, REMOTE = {"demo", "serve"}, {"channels", "replay"}
# Programs that need nothing beyond this machine.
LOCAL = {"cat", "cp", "echo", "head", "jq", "mergeline", "pg_dump", "printf", "psql", "rm", "sed"}
KEYWORDS = {"do", "then", "else", "if", "elif", "while", "until", "!", "{", "exec", "time"}

# What the AWS CLI adds to the operations of its services, with the long options in use.
ADDED = {
    ("cloudformation", "deploy"): {"template-file", "stack-name", "parameter-overrides", "capabilities", "tags",
                                   "no-fail-on-empty-changeset", "role-arn", "s3-bucket"},
    ("logs", "tail"): {"since", "follow", "format", "filter-pattern", "log-stream-names", "log-stream-name-prefix"},
    ("configure", "sso"): set(), ("sso", "login"): set(),
}
GLOBAL = {"query", "output", "region", "profile", "cli-input-json", "cli-binary-format", "no-cli-pager", "no-paginate", "max-items",
          "cli-read-timeout", "endpoint-url"}

errors, notes = [], []


def error(place, text):
    errors.append(f"{place}: {text}")


def documents():
    names = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md"]
    paths = [ROOT / name for name in names] + sorted((ROOT / "docs").rglob("*.md")) + sorted((ROOT / "infra").rglob("*.md"))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths if path.exists()}
    return {name: texts.pop(name) for name in WALK if name in texts} | texts


def section(texts, name, heading):
    """What stands below a heading of the second level."""
    return texts[name].partition(f"\n## {heading}\n")[2].split("\n## ", 1)[0]


# -- templates ----------------------------------------------------------------------------------------------------------


@functools.cache
def template(name):
    """The names of a template's sections, with each resource's type."""
    section, found, current = None, {"Parameters": {}, "Resources": {}, "Outputs": {}}, None
    for line in (ROOT / name).read_text().splitlines():
        if match := re.match(r"(\w+):", line):
            section = match[1]
        elif section in found and (match := re.match(r"  (\w+):", line)):
            current = match[1]
            found[section][current] = ""
        elif section == "Resources" and (match := re.match(r"    Type: (\S+)", line)):
            found[section][current] = match[1]
    return found


def check_templates(texts):
    main = template("template.yaml")
    kinds = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
    # Parts of NoRunCompleted, which nobody hears of alone.
    parts = {"RunMissing", "FirstRunCompleted"}
    alarms = {name for name, kind in main["Resources"].items() if kind in kinds} - parts
    urgency = dict(re.findall(r"^## (\w+)\n+\*\*Means\*\* \((urgent|can wait)\)\.", texts["docs/runbook.md"], re.M))
    entries = list(urgency)
    if not alarms or not main["Parameters"]:
        error("template.yaml", "no alarm or no parameter found: is this check outdated?")
    for name in sorted(alarms - set(entries)):
        error("docs/runbook.md", f"no entry for the alarm {name}, which begins with `## {name}` and `**Means** (urgent).`")
    for name in sorted(set(entries) - alarms):
        error("docs/runbook.md", f"{name} is no alarm of template.yaml")
    for name in entries:
        body = texts["docs/runbook.md"].split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for part in ("**Look.**", "**Do.**", "**Clears**"):
            if part not in body:
                error("docs/runbook.md", f"{name} has no {part}")
    topics = {"AlarmTopic": "urgent", "NoticeTopic": "can wait"}
    for name, body in re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", (ROOT / "template.yaml").read_text(), re.M):
        match = re.search(r"^      AlarmActions: \[!Ref (\w+)\]", body, re.M)
        if match and name in urgency and urgency[name] != topics.get(match[1]):
            error("docs/runbook.md", f"{name} is said to be {urgency[name]!r}, and tells {match[1]}")
    of_parameters = section(texts, "docs/deploy.md", "Parameters")
    explained = {name for row in re.findall(r"^\| (`[^|]+) \|", of_parameters, re.M) for name in re.findall(r"`(\w+)`", row)}
    for name in sorted(set(main["Parameters"]) - explained):
        error("docs/deploy.md", f"the parameter {name} is not in the table of parameters")
    for name in sorted(explained - set(main["Parameters"])):
        error("docs/deploy.md", f"{name} is no parameter of template.yaml")
    # What the alarms' descriptions link to.
    for target in re.findall(r"(docs/[\w./-]+\.md(?:#[\w-]+)?)", (ROOT / "template.yaml").read_text()):
        check_target("template.yaml", ROOT, target, texts)


def check_codes(texts):
    """Codes of errors in the runbook are those of the program."""
    sources = "\n".join(path.read_text() for path in (ROOT / "crates").glob("*/src/**/*.rs"))
    pattern = r"`((?:config\.|(?:github|repo|db|secret|aws|metrics|messages|queue)_)[a-z_]+)`"
    for code in sorted(set(re.findall(pattern, texts["docs/runbook.md"]))):
        if f'"{code}"' not in sources:
            error("docs/runbook.md", f"no program says `{code}`")


@functools.cache
def tests():
    """Every test: of the crates, of infra/checks with the policies, and of the page in a browser by its title."""

    def found(folder, files, pattern):
        return {name for path in (ROOT / folder).glob(files) for name in re.findall(pattern, path.read_text(), re.M)}

    attributes = r"#\[(?:\w+::)?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*|//[^\n]*\s*)*"
    known = found("crates", "**/*.rs", attributes + r"(?:async )?fn (\w+)")
    known |= found("infra/checks", "test_*.py", r"^def (test_\w+)")
    known |= found("crates/dashboard/ui/test/browser", "*.mjs", r"^ *test\('([^']+)'")
    return known | found("infra/checks", "*.py", r"^def (\w+)\(template\):")


def check_tests(texts):
    """Tests that docs/faults.md and the table of docs/security.md name are there, and each of its rows names one."""
    for name in sorted(set(re.findall(r"`(\w+?(?:_[a-z0-9]+){3,})`", texts.get("docs/faults.md", ""))) - tests()):
        error("docs/faults.md", f"there is no test {name}")
    rows = re.findall(r"^\| (.+?) \|.*\| ([^|]*) \|$", section(texts, "docs/security.md", THREATS), re.M)[2:]
    if not rows:
        error("docs/security.md", f"there is no table below `{THREATS}`: is this check outdated?")
    for attempt, proofs in rows:
        names = re.findall(r"`([^`]+)`", proofs)
        if not names:
            error("docs/security.md", f"{attempt}: no test is named")
        for name in names:
            if name not in tests() and not ("." in name and (ROOT / name).is_file()):
                error("docs/security.md", f"{attempt}: there is no test {name}")


def check_length(texts):
    """The README can be read in a few minutes."""
    lines = len(texts["README.md"].splitlines())
    if lines > MOST_LINES_OF_README:
        error("README.md", f"{lines} lines, and {MOST_LINES_OF_README} are the most: move details into docs/, and link to them")


# -- links --------------------------------------------------------------------------------------------------------------


def without_code(text):
    text = re.sub(r"^( *)```.*?^\1```", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


@functools.cache
def anchors(path):
    seen, found = {}, set()
    text = re.sub(r"^( *)```.*?^\1```", "", path.read_text(), flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def check_target(place, folder, target, texts):
    path, _, anchor = target.partition("#")
    file = (folder / path).resolve() if path else (ROOT / place)
    if not file.exists():
        error(place, f"{target} leads nowhere")
    elif anchor and file.suffix == ".md" and anchor not in anchors(file):
        error(place, f"{target}: there is no such heading")


def check_links(texts):
    for name, text in texts.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
            if not re.match(r"[a-z]+:", target):
                check_target(name, (ROOT / name).parent, target, texts)


# -- commands -----------------------------------------------------------------------------------------------------------


def fences(text):
    """Blocks of shell commands, and what else is to be run: line, script, whether it is marked."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        is_marked = at > 0 and lines[at - 1].strip() == RUNS
        if match := re.match(r"( *)```(\w*)", lines[at]):
            begin, indent = at, len(match[1])
            at += 1
            while at < len(lines) and lines[at].strip() != "```":
                at += 1
            body = "\n".join(line[indent:] for line in lines[begin + 1 : at])
            if match[2] == "sh":
                yield begin + 1, body, is_marked
            elif is_marked and match[2] == "yaml":
                yield begin + 1, f"cat >example.yaml <<'YAML'\n{body}\nYAML\nmergeline teams validate example.yaml", True
            elif is_marked:
                yield begin + 1, None, True
        elif is_marked and lines[at].startswith("|"):
            while at < len(lines) and lines[at].startswith("|"):
                if match := re.match(r"\| `([^`]+)`", lines[at]):
                    yield at + 1, match[1], True
                at += 1
        elif is_marked:
            yield at + 1, None, True
        at += 1


def needs(found):
    """What a marked block needs of .ci/check-docs."""
    words = as_mergeline(found[-1]) if found else []
    is_api = words[:1] == ["mergeline"] and words[1:2] and words[1] in SERVES and "--no-serve" not in words
    serves = is_api or words == ["mergeline", "with-db", "cargo", "lambda", "watch"]
    alone = any(as_mergeline(words)[:3] == ["mergeline", "data", "remove"] for words in found)
    lambdas = any(words[at : at + 2] == ["cargo", "lambda"] for words in found for at in range(len(words)))
    return " ".join(["serves"] * serves + ["alone"] * alone + ["cargo-lambda"] * lambdas)


def as_mergeline(words):
    return ["mergeline", *words[3:]] if words[:3] == ["cargo", "run", "--"] else words


def is_local(words):
    """Whether a command needs nothing beyond this machine."""
    words = as_mergeline(words)
    if words[0] == "curl":
        return any(re.match(r"http://(127\.0\.0\.1|localhost)[:/]", word) for word in words)
    if words[:2] == ["cargo", "lambda"]:
        return words[2:3] != ["build"]
    return words[0] in LOCAL and not REMOTE.intersection(words[1:2]) and "--stack" not in words


def check_shells(place, body):
    """What bash takes and zsh, in a terminal, does not."""
    code = re.sub(r"'[^']*'|\"[^\"]*\"", "", body)
    if re.search(r"(^|\s)#", code, re.M):
        error(place, "zsh takes no comments in a terminal: say it in the text")
    if match := re.search(r"\bin( \$\w+)+\s*(;|$)", code, re.M):
        error(place, f"zsh does not split `{match[0].strip()}`")


def commands(text):
    """The commands of a piece of shell as lists of words, those inside of others too."""
    text = re.sub(r"\\\n\s*", " ", text)
    text = re.sub(r"(?m)(^|\s)#( [^\n]*)?$", r"\1", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=PUNCTUATION)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    words, redirected = [], False
    for token in [*lexer, ";"]:
        if set(token) <= set(PUNCTUATION):
            # `2>&1` and similar redirections belong to the command.
            if set(token) <= {"<", ">", "&"} and token != "&" and token != "&&":
                redirected = True
                continue
            if words:
                yield from whole(words)
            words, redirected = [], False
        elif redirected:
            redirected = False
        else:
            words.append(token)


def whole(words):
    for word in words:
        for inner in substitutions(word):
            yield from commands(inner)
    while words and (words[0] in KEYWORDS or re.match(r"[A-Za-z_]\w*=", words[0])):
        words = words[1:]
    if words and words[0] == "export":
        words = []
    if words and words[0] != "$":
        yield [word for word in words if word != "$"]


def substitutions(word):
    at = 0
    while (at := word.find("$(", at)) >= 0:
        depth, end = 0, at + 1
        while end < len(word):
            depth += {"(": 1, ")": -1}.get(word[end], 0)
            end += 1
            if depth == 0:
                break
        yield word[at + 2 : end - 1]
        at = end


def options(words):
    return [match[1] for word in words if (match := re.match(r"--([a-z][a-z0-9-]*)", word))]


class Mergeline:
    def __init__(self, program):
        self.program = program

    @functools.cache
    def help(self, path):
        done = subprocess.run([self.program, *path, "--help"], capture_output=True, text=True)
        block = re.search(r"^Commands:\n(.*?)\n\n", done.stdout, re.M | re.S)
        below = set(re.findall(r"^  (\S+)", block[1], re.M)) if block else set()
        return done.returncode == 0, below, set(re.findall(r"--([a-z][a-z0-9-]*)", done.stdout))

    def check(self, place, words):
        path, rest = (), words
        while rest and self.help(path)[1] and not rest[0].startswith("-"):
            if rest[0] not in self.help(path)[1]:
                return error(place, f"mergeline knows no `{' '.join((*path, rest[0]))}`")
            path, rest = (*path, rest[0]), rest[1:]
        if path == ("with-db",):
            rest = []
        for option in options(rest):
            if option not in self.help(path)[2]:
                error(place, f"`mergeline {' '.join(path)}` knows no --{option}")


def python_with(module):
    """A Python below target/ that has a module."""
    for folder in ("target/infra-check/python", "target/aws-emulator"):
        program = ROOT / folder / "bin/python"
        if program.exists() and any((ROOT / folder / "lib").glob(f"python3*/site-packages/{module}")):
            return program
    return None


AWS = r"""
import json, sys
import botocore.loaders, botocore.model, botocore.waiter
from botocore import xform_name
loader = botocore.loaders.Loader()
known = set(loader.list_available_services("service-2"))
answer = []
for service, operation, given in json.load(sys.stdin):
    if service not in known:
        answer.append(f"aws knows no service {service}")
        continue
    if operation == "wait":
        waiters = loader.load_service_model(service, "waiters-2")["waiters"]
        names = {xform_name(name, "-") for name in waiters}
        answer.append("" if given[0] in names else f"aws {service} wait knows no {given[0]}")
        continue
    model = botocore.model.ServiceModel(loader.load_service_model(service, "service-2"))
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in operations:
        answer.append(f"aws {service} knows no {operation}")
        continue
    shape = model.operation_model(operations[operation]).input_shape
    members = {xform_name(name, "-"): member for name, member in (shape.members if shape else {}).items()}
    allowed = set(members) | {"no-" + name for name, member in members.items() if member.type_name == "boolean"}
    wrong = [option for option in given if option not in allowed]
    missing = [] if "cli-input-json" in given else [
        name for name in (xform_name(r, "-") for r in (shape.required_members if shape else [])) if name not in given]
    wrong = [option for option in wrong if option != "cli-input-json"]
    text = [f"knows no --{option}" for option in wrong] + [f"needs --{name}" for name in missing]
    answer.append(f"aws {service} {operation} {', '.join(text)}" if text else "")
json.dump(answer, sys.stdout)
"""

def tell_missing(what, count, is_strict):
    text = f"{count} commands of {what} are not checked: it is not installed below target/ (cargo test, infra/checks)"
    (errors if is_strict else notes).append(text)


def ask_botocore(questions, is_strict):
    """Questions are of a place, a service, an operation and its options."""
    python = python_with("botocore")
    if python is None:
        return tell_missing("aws", len(questions), is_strict)
    asked = json.dumps([question for _, question in questions])
    done = subprocess.run([python, "-c", AWS], input=asked, capture_output=True, text=True)
    if done.returncode != 0:
        return error("botocore", done.stderr.strip())
    for (place, _), answer in zip(questions, json.loads(done.stdout)):
        if answer:
            error(place, answer)


def ask_sam(questions, is_strict):
    """Questions are of a place, a command and its options."""
    program = ROOT / "target/infra-check/python/bin/sam"
    if not program.exists():
        return tell_missing("sam", len(questions), is_strict)
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    asking = {command: subprocess.Popen([program, command, "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, env=environment)
              for command in {command for _, (command, _) in questions}}
    help_of = {command: process.communicate()[0] for command, process in asking.items()}
    for place, (command, given) in questions:
        if asking[command].returncode != 0:
            error(place, f"sam knows no {command}")
            continue
        known = set(re.findall(r"--([a-z][a-z0-9-]*)", help_of[command]))
        for option in given:
            if option not in known:
                error(place, f"sam {command} knows no --{option}")


def check_commands(texts, arguments):
    mergeline, aws, sam = Mergeline(arguments.mergeline), [], []
    outputs = template("template.yaml")["Outputs"]
    for path in (ROOT / "infra").glob("*.yaml"):
        outputs = outputs | template(path.relative_to(ROOT).as_posix())["Outputs"]
    resources = set(template("template.yaml")["Resources"]) | GENERATED
    blocks = pathlib.Path(arguments.blocks)
    for folder in ("walk", "others"):
        (blocks / folder).mkdir(parents=True, exist_ok=True)
    count = 0
    for name, text in texts.items():
        pieces, folder = [], "walk" if name in WALK else "others"
        for line, body, is_run in fences(text):
            place = f"{name}:{line}"
            if body is None:
                error(place, "what is to be run offline is a block that begins with ```sh or ```yaml, or a table")
                continue
            pieces.append((line, body))
            if not body.startswith("cat >example.yaml"):
                check_shells(place, body)
            try:
                found = list(commands(body))
            except ValueError:
                continue  # Reported below.
            if is_run:
                count += 1
                (blocks / folder / f"{count:03}.sh").write_text(f"# {place}\n# {needs(found)}\n{body}\n")
            elif found and all(map(is_local, found)):
                error(place, f"this runs offline: put {RUNS} above it")
        prose = re.sub(r"^( *)```.*?^\1```", lambda match: "\n" * match[0].count("\n"), text, flags=re.M | re.S)
        for match in re.finditer(r"`([^`\n]+)`", prose):
            span = match[1]
            if re.match(r"(?:[A-Z_]+=\S+ )*(mergeline|cargo run --|aws|sam|eval) \S", span):
                pieces.append((prose.count("\n", 0, match.start()) + 1, span))
        for line, body in pieces:
            place = f"{name}:{line}"
            try:
                found = list(commands(body))
            except ValueError as problem:
                error(place, f"no shell can read this: {problem}")
                continue
            for words in found:
                program, *rest = as_mergeline(words)
                rest = ["" if word in ("…", "...") else word for word in rest]
                if program == "mergeline":
                    mergeline.check(place, [word for word in rest if word])
                elif program == "sam" and rest and not rest[0].startswith("-"):
                    sam.append((place, (rest[0], options(rest))))
                elif program == "aws" and len(rest) > 1:
                    check_aws(place, rest, aws, body)
                elif program == "output" and rest and rest[0] not in outputs:
                    error(place, f"no template has an output {rest[0]}")
                elif program == "resource" and rest and rest[0] not in resources:
                    error(place, f"template.yaml makes no {rest[0]}")
                elif program == "parameter" and rest and rest[0] not in template("template.yaml")["Parameters"]:
                    error(place, f"template.yaml has no parameter {rest[0]}")
                check_overrides(place, program, rest)
    ask_botocore(aws, arguments.strict)
    ask_sam(sam, arguments.strict)


# Created by SAM from functions and the API.
GENERATED = {"CollectorSchedule", "CollectorWork", "ServerlessDeploymentApplication", "ApiDeploymentGroup"}


def check_aws(place, rest, questions, body):
    service, operation = rest[:2]
    service = {"s3api": "s3", "deploy": "codedeploy"}.get(service, service)
    given = options(rest[2:])
    is_mention = "\n" not in body and body.startswith("aws ")
    if (service, operation) in ADDED:
        for option in given:
            if option not in ADDED[service, operation] | GLOBAL:
                error(place, f"aws {service} {operation} knows no --{option}")
        return
    if operation == "wait":
        return questions.append((place, (service, "wait", rest[2:3])))
    given = [option for option in given if option not in GLOBAL or option == "cli-input-json"]
    if is_mention:
        # A mention in a sentence may leave out the obvious parts.
        given.append("cli-input-json")
    questions.append((place, (service, operation, given)))


def check_overrides(place, program, rest):
    if "--parameter-overrides" not in rest:
        return
    name = rest[rest.index("--template-file") + 1] if "--template-file" in rest else "template.yaml"
    if not (ROOT / name).exists():
        return error(place, f"there is no {name}")
    for word in rest[rest.index("--parameter-overrides") + 1 :]:
        if word.startswith("--"):
            break
        for key in re.findall(r"(?:^|\s)(\w+)=", word):
            if key not in template(name)["Parameters"]:
                error(place, f"{name} has no parameter {key}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mergeline", required=True)
    parser.add_argument("--blocks", required=True)
    parser.add_argument("--strict", action="store_true")
    arguments = parser.parse_args()
    texts = documents()
    for name in (*WALK, "docs/runbook.md", "docs/deploy.md"):
        if name not in texts:
            sys.exit(f"error: there is no {name}")
    check_templates(texts)
    check_codes(texts)
    check_tests(texts)
    check_length(texts)
    check_links(texts)
    check_commands(texts, arguments)
    for note in notes:
        print(f"note: {note}")
    for text in errors:
        print(f"error: {text}", file=sys.stderr)
    sys.exit(1 if errors else 0)


main()
