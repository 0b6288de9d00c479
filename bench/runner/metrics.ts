// Reads the counters per stage of a running Millrace from its Prometheus text.

const LINE = /^([a-z_:][a-z0-9_:]*)(?:\{([^}]*)\})? (\S+)/i

export interface Sample {
  readonly name: string
  readonly labels: string
  readonly value: number
}

export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const found = LINE.exec(line)
    if (found === null || line.startsWith('#')) continue
    const [, name = '', labels = '', value = ''] = found
    samples.push({ name, labels, value: Number(value) })
  }
  return samples
}

/** CPU seconds of each stage since the start of the process. */
export function stageSeconds(text: string): Record<string, number> {
  const stages: Record<string, number> = {}
  for (const { name, labels, value } of parseMetrics(text)) {
    if (name !== 'millrace_stage_seconds_total') continue
    const stage = /stage="([^"]*)"/.exec(labels)?.[1]
    if (stage !== undefined) stages[stage] = (stages[stage] ?? 0) + value
  }
  return stages
}
