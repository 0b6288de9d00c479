// The chart, linted and rendered by the real Helm.

import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { findProgram, requireAll } from '../support/require-program.ts'

const CHART = join(import.meta.dirname, '../../deploy/helm/millrace')
const MAIN = join(import.meta.dirname, '../../src/main.ts')
const helm = findProgram('MILLRACE_TEST_HELM', 'helm')
const run = promisify(execFile)

// biome-ignore lint/suspicious/noExplicitAny: rendered manifests have no type here, and a wrong path fails the test.
type Manifest = any

async function render(...args: string[]): Promise<Manifest[]> {
  const all = [
    'template',
    'logs',
    CHART,
    '--kube-version',
    '1.31.0',
    '--namespace',
    'observe',
    ...args
  ]
  const { stdout } = await run(helm!, all)
  return parseAllDocuments(stdout).map((document) => document.toJS())
}

const kind = (manifests: Manifest[], name: string) => manifests.filter((each) => each.kind === name)

async function refusal(...args: string[]): Promise<string> {
  return render(...args).then(
    () => 'rendered',
    (error) => error.stderr
  )
}

requireAll(t, [[helm, 'helm']], () => {
  t.test('lint finds nothing', async (t) => {
    const { stdout } = await run(helm!, ['lint', '--strict', CHART])
    t.match(stdout, '1 chart(s) linted, 0 chart(s) failed')
  })

  t.test(
    'the defaults render to a stateful set with a volume, two services, probes and limits',
    async (t) => {
      const all = await render()
      t.same(all.map((each) => each.kind).sort(), [
        'ConfigMap',
        'NetworkPolicy',
        'PodDisruptionBudget',
        'Service',
        'Service',
        'ServiceAccount',
        'StatefulSet'
      ])
      for (const { metadata } of all)
        t.equal(metadata.namespace, 'observe', `${metadata.name} has a namespace`)
      const [set] = kind(all, 'StatefulSet')
      const pod = set.spec.template.spec
      const [container] = pod.containers
      t.equal(set.spec.serviceName, 'logs-millrace-headless')
      t.equal(set.spec.volumeClaimTemplates[0].metadata.name, 'data')
      t.same(container.livenessProbe.httpGet, { path: '/livez', port: 'admin' })
      t.same(container.readinessProbe.httpGet, { path: '/readyz', port: 'admin' })
      t.same(container.startupProbe.httpGet, { path: '/livez', port: 'admin' })
      t.equal(container.securityContext.readOnlyRootFilesystem, true)
      t.same(container.securityContext.capabilities.drop, ['ALL'])
      t.equal(pod.securityContext.runAsNonRoot, true)
      t.equal(pod.securityContext.runAsUser, 65532)
      t.equal(pod.automountServiceAccountToken, false)
      t.ok(pod.terminationGracePeriodSeconds > Number(container.lifecycle.preStop.exec.command[1]))
    }
  )

  t.test('labels select the pods of the release in every object that selects', async (t) => {
    const all = await render()
    const [set] = kind(all, 'StatefulSet')
    const labels = set.spec.template.metadata.labels
    const selectors = [
      set.spec.selector.matchLabels,
      ...kind(all, 'Service').map((each) => each.spec.selector),
      ...kind(all, 'PodDisruptionBudget').map((each) => each.spec.selector.matchLabels),
      ...kind(all, 'NetworkPolicy').map((each) => each.spec.podSelector.matchLabels)
    ]
    for (const selector of selectors) t.match(labels, selector)
  })

  t.test('ports of the service exist by name in the container', async (t) => {
    const all = await render()
    const [container] = kind(all, 'StatefulSet')[0].spec.template.spec.containers
    const names = container.ports.map((port: { name: string }) => port.name)
    for (const service of kind(all, 'Service')) {
      for (const port of service.spec.ports) t.ok(names.includes(port.targetPort), port.targetPort)
    }
  })

  t.test(
    'the configuration keeps the order of its routes and its templates, and is valid',
    async (t) => {
      const folder = t.testdir()
      const values = join(folder, 'values.yaml')
      const config = [
        'version: 1',
        'data_dir: {{ .Values.dataDir }}',
        'admin: {listen: "0.0.0.0:{{ .Values.adminPort }}"}',
        'inputs: {forward: {type: forward, listen: "tcp://0.0.0.0:24224"}}',
        'routes:',
        '  web: {match: "web.**", to: [files]}',
        '  all: {match: "**", to: [files]}',
        'outputs: {files: {type: file, path: "${data_dir}/${tag}.ndjson"}}'
      ]
      writeFileSync(values, JSON.stringify({ config: config.join('\n'), adminPort: 9999 }))
      for (const args of [[], ['-f', values]]) {
        const [map] = kind(await render(...args), 'ConfigMap')
        const text: string = map.data['millrace.yaml']
        t.match(text, '${data_dir}')
        t.notMatch(text, '{{')
        if (args.length > 0) {
          t.ok(text.indexOf('web:') < text.indexOf('all:'), 'web stands before all')
          t.match(text, '0.0.0.0:9999')
        }
        const file = join(folder, 'millrace.yaml')
        writeFileSync(file, text)
        await t.resolves(run(process.execPath, [MAIN, 'validate', file]))
      }
    }
  )

  t.test('a change of the configuration restarts the pods, unless it is not wanted', async (t) => {
    const checksum = async (...args: string[]) =>
      kind(await render(...args), 'StatefulSet')[0].spec.template.metadata.annotations[
        'checksum/config'
      ]
    t.not(await checksum(), await checksum('--set', 'adminPort=9999'))
    t.equal(await checksum('--set', 'rollWorkload=false'), undefined)
  })

  t.test('without persistence there is an emptyDir', async (t) => {
    const [set] = kind(await render('--set', 'persistence.enabled=false'), 'StatefulSet')
    t.equal(set.spec.volumeClaimTemplates, undefined)
    const data = set.spec.template.spec.volumes.find(
      (each: { name: string }) => each.name === 'data'
    )
    t.same(data, { name: 'data', emptyDir: {} })
  })

  t.test('an existing config map replaces the own one', async (t) => {
    const all = await render('--set', 'existingConfigMap=mine')
    t.same(kind(all, 'ConfigMap'), [])
    const { volumes } = kind(all, 'StatefulSet')[0].spec.template.spec
    t.same(volumes[0].configMap, { name: 'mine' })
  })

  t.test('a digest wins over a tag', async (t) => {
    const digest = `sha256:${'a'.repeat(64)}`
    const all = await render('--set', 'image.tag=x', '--set', `image.digest=${digest}`)
    t.equal(
      kind(all, 'StatefulSet')[0].spec.template.spec.containers[0].image,
      `millrace@${digest}`
    )
  })

  t.test('values that are wrong are refused before anything is rendered', async (t) => {
    t.match(await refusal('--set', 'replica=3'), /replica/)
    t.match(await refusal('--set', 'replicas=-1'), /replicas/)
    t.match(await refusal('--set', 'persistence.size=much'), /size/)
    t.match(await refusal('--set', 'image.digest=abc'), /digest/)
    t.match(await refusal('--set-string', 'config=version: 1'), /data_dir is missing/)
  })

  t.test('every value of values.yaml is described in the schema', async (t) => {
    const schema = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'))
    const [values] = parseAllDocuments(readFileSync(join(CHART, 'values.yaml'), 'utf8'))
    t.same(
      Object.keys(values!.toJS()).filter((key) => !(key in schema.properties)),
      []
    )
  })
})
