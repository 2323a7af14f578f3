"""The manifests of infra/kubernetes: Kubernetes's own schemas, and what their README says of them."""

import copy
import re
import tomllib

import kubernetes_validate
import pytest
import yaml
from translate import ROOT

FOLDER = ROOT / "infra/kubernetes"
# The oldest that is still supported, and the newest.
VERSIONS = ["1.33", "1.37"]
DOCUMENTS = [document for path in sorted(FOLDER.rglob("*.yaml")) for document in yaml.safe_load_all(path.read_text())]
BY_KIND = {document["kind"]: document for document in DOCUMENTS}
PODS = {
    "api": BY_KIND["Deployment"]["spec"]["template"],
    "collector": BY_KIND["CronJob"]["spec"]["jobTemplate"]["spec"]["template"],
    "migrator": BY_KIND["Job"]["spec"]["template"],
}
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
CONTAINERFILE = (ROOT / "infra/container/Containerfile").read_text()


def container(pod):
    (only,) = pod["spec"]["containers"]
    return only


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_kubernetes_knows_every_field(document, version):
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    "broken",
    [
        lambda it: it["spec"].update(replicas="two"),
        lambda it: it["spec"].update(replica=2),
        lambda it: container(it["spec"]["template"]).update(readinessprobe={}),
        lambda it: it["spec"].pop("selector"),
        lambda it: it.update(apiVersion="apps/v1beta1"),  # gone since 1.16
    ],
)
def test_a_wrong_field_is_found(broken):
    document = copy.deepcopy(BY_KIND["Deployment"])
    broken(document)
    with pytest.raises((kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError)):
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_not_root_and_writes_to_tmp_only(name):
    pod, only = PODS[name]["spec"], container(PODS[name])
    uid, gid = map(int, re.search(r"^USER (\d+):(\d+)$", CONTAINERFILE, re.M).groups())
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, uid, gid)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = [mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_runs_the_image_of_this_version_within_limits(name):
    only = container(PODS[name])
    assert only["image"] == f"ghcr.io/mergeline/mergeline:{VERSION}"
    assert only["args"] == [{"api": "serve", "collector": "collect", "migrator": "migrate"}[name]]
    assert set(only["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in only["resources"]["limits"]


def test_the_token_is_the_collectors_and_the_keys_are_the_apis():
    given = {
        name: {next(iter(it.values()))["name"] for it in container(pod)["envFrom"]} for name, pod in PODS.items()
    }
    assert given == {name: {"mergeline", f"mergeline-{name}"} for name in PODS}
    # Secrets come from commands, never from a file.
    assert "Secret" not in BY_KIND
    created = dict(re.findall(r"create secret generic (\S+) \\\n((?:.*--from-literal=.*\n)+)", (FOLDER / "README.md").read_text()))
    names = {name: re.findall(r"--from-literal=(\w+)", text) for name, text in created.items()}
    assert names == {
        "mergeline-collector": ["DB_URL", "GITHUB_PAT"],
        "mergeline-api": ["DB_URL", "API_KEY"],
        "mergeline-migrator": ["DB_URL", "DB_WRITER_URL", "DB_READER_URL"],
    }


def test_each_migration_is_another_job():
    job = BY_KIND["Job"]
    # Applying the folder must not run it: with one login, a collection migrates.
    assert not [it for path in FOLDER.glob("*.yaml") for it in yaml.safe_load_all(path.read_text()) if it["kind"] == "Job"]
    assert "name" not in job["metadata"]
    assert "kubectl create -f infra/kubernetes/three-logins/migrate.yaml" in (FOLDER / "README.md").read_text()


def test_settings_are_settings_of_the_program():
    sources = "\n".join(path.read_text() for path in ROOT.glob("crates/*/src/**/*.rs"))
    for name in BY_KIND["ConfigMap"]["data"]:
        assert f'"{name}"' in sources or name == "RUST_LOG", name


def test_the_teams_file_is_where_the_image_looks():
    (folder,) = [it for it in container(PODS["collector"])["volumeMounts"] if it.get("readOnly")]
    (volume,) = [it for it in PODS["collector"]["spec"]["volumes"] if it["name"] == folder["name"]]
    assert f"TEAMS_FILE={folder['mountPath']}/teams.yaml" in CONTAINERFILE
    assert f"create configmap {volume['configMap']['name']} --from-file=teams.yaml" in (FOLDER / "README.md").read_text()


def test_the_service_reaches_ready_pods_and_a_dead_database_restarts_none():
    labels, port = PODS["api"]["metadata"]["labels"], container(PODS["api"])["ports"][0]
    for selector in (
        BY_KIND["Service"]["spec"]["selector"],
        BY_KIND["Deployment"]["spec"]["selector"]["matchLabels"],
        BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    assert not set(labels.items()) <= set(PODS["collector"]["metadata"]["labels"].items())
    assert BY_KIND["Service"]["spec"]["ports"][0]["targetPort"] == port["name"]
    assert f"EXPOSE {port['containerPort']}" in CONTAINERFILE
    assert container(PODS["api"])["readinessProbe"]["httpGet"] == {"path": "/v1/health", "port": port["name"]}
    assert "httpGet" not in container(PODS["api"])["livenessProbe"]


def test_two_collections_never_run_at_once():
    spec = BY_KIND["CronJob"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    # Over before the next one is due.
    assert spec["schedule"] == "17 */4 * * *"
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 4 * 3600


def test_everything_is_in_one_namespace():
    assert {document["metadata"]["namespace"] for document in DOCUMENTS} == {"mergeline"}
