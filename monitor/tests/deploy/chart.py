#!/usr/bin/env python3
"""Renders the Helm chart, and holds it and the manifests against the schemas of Kubernetes' API.

chart.rs runs it, with Helm's own library and the schemas from PyPI. Where there is a kubectl the
chart is also compared with what kustomize makes of the manifests. Prints what was done.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import helm_python as helm
import kubernetes_validate
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[3] / "deploy"
CHART = str(DEPLOY / "helm/container-monitor")
WRONG = [
    {"privilege": "none"},
    {"port": "x"},
    {"nonsense": 1},
    {"podMonitor": {"interval": "soon"}},
    {"serviceMonitor": {"scheme": "ftp"}},
    {"extraEnv": [{"value": "nameless"}]},
    {"extraVolumeMounts": [{"name": "nowhere"}]},
    {"networkPolicy": {"egress": "everywhere"}},
]

# From the oldest that is still in use somewhere to the newest that the package has.
VERSIONS = ["1.25", "1.27", "1.29", "1.31", "1.33", kubernetes_validate.latest_version()]
# Of these the API server knows nothing without the operator.
OPERATOR = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}


def by_name(text):
    found = (document for document in yaml.safe_load_all(text) if document)
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def render(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="container-monitor", namespace="monitoring")
        return by_name("\n---\n".join(files.values()))


def known_to(version, value):
    """Without `appArmorProfile`, which versions before 1.30 take for nothing (an annotation does it)."""
    if tuple(map(int, version.split(".")[:2])) >= (1, 30):
        return value
    if isinstance(value, list):
        return [known_to(version, item) for item in value]
    if isinstance(value, dict):
        return {key: known_to(version, item) for key, item in value.items() if key != "appArmorProfile"}
    return value


def validate(documents):
    """Against the schema of each version, unknown fields refused; the number of comparisons."""
    known = [document for document in documents if document["kind"] not in OPERATOR]
    for document in known:
        for version in VERSIONS:
            kubernetes_validate.validate(known_to(version, document), version, strict=True)
    return len(known) * len(VERSIONS)


def daemonset(documents):
    """The pod of the DaemonSet, and its only container."""
    pod = documents[("DaemonSet", "container-monitor")]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    return pod, container


def more_of_a_pod():
    """An environment, volumes and mounts of the user's own, beside those of the chart."""
    own = {
        "extraEnv": [{"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
        "extraVolumes": [{"name": "more", "secret": {"secretName": "more"}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more", "readOnly": True}],
    }
    documents = render(own)
    plain, plain_container = daemonset(render({}))
    pod, container = daemonset(documents)
    assert container["env"] == own["extraEnv"], container
    assert container["volumeMounts"] == plain_container["volumeMounts"] + own["extraVolumeMounts"]
    assert pod["volumes"] == plain["volumes"] + own["extraVolumes"], pod
    return validate(documents.values())


def web_configuration():
    """A web configuration: mounted, named, and the probes do without a user and a certificate."""
    file = "--web.config.file=/etc/container-monitor/web/web-config.yml"
    port = "--web.listen-address=:8443"
    documents = render({"webConfigSecret": "web", "port": 8443, "extraArgs": ["--host-network"]})
    pod, container = daemonset(documents)
    assert container["args"] == ["serve", port, file, "--host-network"], container
    for probe in ["livenessProbe", "readinessProbe"]:
        asks = ["/container-monitor", "doctor", "--health", port, file]
        assert container[probe]["exec"]["command"] == asks, container[probe]
        assert "httpGet" not in container[probe], container[probe]
    [mount] = [m for m in container["volumeMounts"] if m["name"] == "web-config"]
    assert file.startswith(f"--web.config.file={mount['mountPath']}/") and mount["readOnly"], mount
    assert {"name": "web-config", "secret": {"secretName": "web", "defaultMode": 0o400}} in pod["volumes"]
    asked = {
        "scheme": "https",
        "tlsConfig": {"ca": {"secret": {"name": "web", "key": "ca.crt"}}},
        "basicAuth": {"username": {"name": "user", "key": "name"}, "password": {"name": "user", "key": "word"}},
    }
    for kind, field in [("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")]:
        value = kind[0].lower() + kind[1:]
        plain = {"enabled": True}
        [without] = render({value: plain})[(kind, "container-monitor")]["spec"][field]
        [endpoint] = render({value: plain | asked})[(kind, "container-monitor")]["spec"][field]
        assert endpoint == without | asked, endpoint
    return validate(documents.values())


def way_out():
    """What pushes has a way out; nothing else of the policy changes by it."""
    egress = patched_egress()
    name = ("NetworkPolicy", "container-monitor")
    documents = render({"networkPolicy": {"egress": egress}})
    spec = render({})[name]["spec"]
    assert spec["egress"] == [], spec
    assert documents[name]["spec"] == spec | {"egress": egress}, documents[name]
    return validate(documents.values())


def patched_egress():
    """The `egress` of deploy/README.md."""
    blocks = (DEPLOY / "README.md").read_text().split("```")[1::2]
    [block] = [b for b in blocks if b.startswith("yaml\negress:")]
    return yaml.safe_load(block.removeprefix("yaml\n"))["egress"]


def main():
    assert not helm.lint(CHART)["errors"]
    folders = [
        ("base", {}),
        ("overlays/least-privilege", {"privilege": "least"}),
        ("overlays/host-network", {"hostNetwork": True}),
    ]
    compared = 0
    for _, values in folders:
        compared += validate(render(values).values())
    for file in sorted((DEPLOY / "kubernetes/base").glob("*.yaml")):
        if file.name != "kustomization.yaml":
            compared += validate(by_name(file.read_text()).values())
    wrong = next(d for d in render({}).values() if d["kind"] == "DaemonSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["nonsense"] = 1
    try:
        validate([wrong])
        sys.exit("a field that there is not was accepted")
    except kubernetes_validate.ValidationError:
        pass
    has_kubectl = shutil.which("kubectl") is not None
    for folder, values in folders if has_kubectl else []:
        made = subprocess.check_output(["kubectl", "kustomize", DEPLOY / "kubernetes" / folder])
        assert render(values) == by_name(made), folder
    compared += more_of_a_pod() + web_configuration() + way_out()
    on = {name: {"enabled": True} for name in ["podMonitor", "serviceMonitor", "prometheusRule", "dashboards"]}
    full = render(on)
    compared += validate(full.values())
    for kind in ["PodMonitor", "ServiceMonitor"]:
        folder = DEPLOY / "kubernetes/components" / kind.lower()
        component = by_name((folder / f"{kind.lower()}.yaml").read_text())
        name = (kind, "container-monitor")
        assert full[name]["spec"] == component[name]["spec"], kind
    for rules in ["alerts", "recording"]:
        shipped = yaml.safe_load((DEPLOY / f"prometheus/rules/{rules}.yaml").read_text())
        assert full[("PrometheusRule", f"container-monitor-{rules}")]["spec"] == shipped, rules
    dashboards = full[("ConfigMap", "container-monitor-dashboards")]["data"]
    for name in ["fleet", "node", "pod"]:
        shipped = json.loads((DEPLOY / f"grafana/{name}.json").read_text())
        assert json.loads(dashboards[f"container-monitor-{name}.json"]) == shipped, name
    for values in WRONG:
        try:
            render(values)
        except helm.HelmError:
            continue
        sys.exit(f"accepted: {values}")
    print(f"{compared} documents fit the schemas of {', '.join(VERSIONS)}")
    print("the chart is what kustomize makes" if has_kubectl else "not compared with kustomize: no kubectl")


main()
