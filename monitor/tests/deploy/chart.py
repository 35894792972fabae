#!/usr/bin/env python3
"""Renders the Helm chart and compares it with what kustomize makes; also what it refuses.

Not run by cargo: there is no helm in Debian. It needs kubectl, and from PyPI Helm's own library:
    python3 -m venv v && v/bin/pip install helm-python-sdk pyyaml && v/bin/python chart.py
"""

import json
import pathlib
import subprocess
import sys

import helm_python as helm
import yaml

DEPLOY = pathlib.Path(__file__).resolve().parents[3] / "deploy"
CHART = str(DEPLOY / "helm/container-monitor")
WRONG = [{"privilege": "none"}, {"port": "x"}, {"nonsense": 1}, {"podMonitor": {"interval": "soon"}}]


def by_name(text):
    found = (document for document in yaml.safe_load_all(text) if document)
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def render(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="container-monitor", namespace="monitoring")
        return by_name("\n---\n".join(files.values()))


def main():
    assert not helm.lint(CHART)["errors"]
    for folder, values in [
        ("base", {}),
        ("overlays/least-privilege", {"privilege": "least"}),
        ("overlays/host-network", {"hostNetwork": True}),
    ]:
        made = subprocess.check_output(["kubectl", "kustomize", DEPLOY / "kubernetes" / folder])
        assert render(values) == by_name(made), folder
    on = {name: {"enabled": True} for name in ["podMonitor", "serviceMonitor", "prometheusRule", "dashboards"]}
    full = render(on)
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
    print("the chart is what kustomize makes")


main()
