{{- define "labels" -}}
app.kubernetes.io/name: container-monitor
{{- end }}
{{- define "metadata" -}}
name: container-monitor
namespace: {{ .Release.Namespace }}
labels:
  {{- include "labels" . | nindent 2 }}
{{- end }}
{{/* Where the web configuration is mounted. */}}
{{- define "web-folder" -}}
/etc/container-monitor/web
{{- end }}
{{/* The flags that serve and its probe have in common. */}}
{{- define "places" -}}
{{- if ne (int .Values.port) 10042 }}
- --web.listen-address=:{{ .Values.port }}
{{- end }}
{{- if .Values.webConfigSecret }}
- --web.config.file={{ include "web-folder" . }}/web-config.yml
{{- end }}
{{- end }}
{{/* How the kubelet asks the page `path`. Behind a web configuration the monitor asks itself. */}}
{{- define "probe" -}}
{{- if .root.Values.webConfigSecret }}
exec:
  command:
    - /container-monitor
    - doctor
    - --health
    {{- with include "places" .root | trim }}{{ . | nindent 4 }}{{ end }}
{{- else }}
httpGet: { path: {{ .path }}, port: metrics }
{{- end }}
{{- end }}
{{/* What both kinds of monitor do with a target, given their values: how it is asked, the node's
     name, and the series' own labels. */}}
{{- define "endpoint" -}}
port: metrics
{{- with .scheme }}
scheme: {{ . }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
honorLabels: true
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: instance
{{- end }}
