{{- define "sportello.name" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "sportello.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sportello.labels" -}}
{{ include "sportello.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "sportello.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{- else -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{- end -}}
{{- end -}}

{{- define "sportello.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "sportello.name" .) }}
{{- end -}}

{{/* What the pod as a whole may do. */}}
{{- define "sportello.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "sportello.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The database's address, for the nodes and for the migration. */}}
{{- define "sportello.databaseEnv" -}}
- name: SPORTELLO__STORAGE__URL_FILE
  value: /run/secrets/sportello/{{ .Values.secret.databaseUrlKey }}
{{- end -}}

{{- define "sportello.secretVolume" -}}
- name: secrets
  secret:
    secretName: {{ required "secret.name: name your Secret" .Values.secret.name }}
    defaultMode: 0440
{{- end -}}

{{/* The host of people's files. */}}
{{- define "sportello.filesHost" -}}
{{ .Values.filesUrl | trimPrefix "https://" | trimSuffix "/" }}
{{- end -}}
