{{- define "labels" -}}
app.kubernetes.io/name: container-monitor
{{- end }}
{{- define "metadata" -}}
name: container-monitor
namespace: {{ .Release.Namespace }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end }}
{{/* What both kinds of monitor do with a target: the node's name, and the series' own labels. */}}
{{- define "endpoint" -}}
port: metrics
honorLabels: true
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: instance
{{- end }}
