// Runs on: any.
// The configuration that runs when there is no file at all: everything on the loopback, logs into files.

/** Printed by `millrace config`, so that it is also the file to start from. */
export const DEFAULT_CONFIG_TEXT = `# The configuration of Millrace when there is no file.
version: 1
data_dir: ./millrace-data
admin: {listen: "127.0.0.1:9480"}
inputs:
  forward: {type: forward, listen: "tcp://127.0.0.1:24224"}
  http: {type: http, listen: "tcp://127.0.0.1:9880"}
routes:
  all: {match: "**", to: [files]}
outputs:
  files: {type: file, path: "\${data_dir}/logs/\${tag}.\${time:%Y-%m-%d}.ndjson"}
`

/** How findings and the start-up lines name it. */
export const DEFAULT_CONFIG_NAME = 'built-in configuration'
