"""Runs the scripts of .github and .ci with everything outside of them played by stubs."""

import os
import re
import shutil
import subprocess
import sys

from translate import ROOT

SCRIPTS = ".github/scripts"
# What could lead a script elsewhere than to the stubs.
MEANT_FOR_OTHERS = re.compile(r"(AWS|GIT|GITHUB|CURL)_|PARAMETERS$|.*_proxy$", re.IGNORECASE)


def run(script, *arguments, root=ROOT, stubs=None, **variables):
    """Runs a script of .github/scripts, or one named from the top, in a work tree with the stubs before all other programs."""
    environment = {name: value for name, value in os.environ.items() if not MEANT_FOR_OTHERS.match(name)}
    if stubs:
        environment["PATH"] = f"{stubs}:{environment['PATH']}"
    command = [root / (script if script.startswith(".") else f"{SCRIPTS}/{script}"), *arguments]
    if script == "package-aws":
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
    for path in (".ci/pack", ".ci/pack-program", ".ci/version", "Cargo.toml", *paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder
