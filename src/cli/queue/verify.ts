// Runs on: main.
// `millrace queue verify`: what is damaged in the files, and what it costs each destination. Exit 0: nothing is; notes
// alone, as a torn end after a kill, are no damage. Exit 1: damage.

import { posix } from 'node:path'
import { EXIT } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { openShardView } from '../../storage/inspect/shard.ts'
import {
  type LogPolicy,
  policyOf,
  type StoreView,
  shardsOfLog
} from '../../storage/inspect/store.ts'
import {
  type Checked,
  type Finding,
  type FindingKind,
  verifyShard
} from '../../storage/inspect/verify.ts'
import { type CliIo, Exit } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { openDirectory, warnOfPolicy } from './directory.ts'

interface VerifyOptions extends DirectoryOptions {
  readonly deep?: boolean
  readonly json?: boolean
}

interface Verdict extends Checked {
  isDeep: boolean
  damages: number
  notes: number
  /** Durable records that cannot be read. */
  lostRecords: number
  /** By log: what its policy may lose decides whether records are damaged, unsynced or were never acked. */
  durability: Readonly<Record<string, LogPolicy>>
}

/** Findings that are told apart by the policy of the log. */
const JUDGED: readonly FindingKind[] = ['records', 'unsynced', 'unacked']

export async function verify(
  routes: readonly string[],
  options: VerifyOptions,
  io: CliIo
): Promise<void> {
  const view = await openDirectory(options, io)
  const paths =
    routes.length === 0 ? view.shardPaths : routes.flatMap((route) => shardsOfLog(view, route))
  const verdict: Verdict = {
    isDeep: options.deep === true,
    damages: 0,
    notes: 0,
    lostRecords: 0,
    segments: 0,
    frames: 0,
    records: 0,
    bytes: 0,
    locked: 0,
    durability: Object.fromEntries(
      paths.map(posix.dirname).map((log) => [log, policyOf(view, log)])
    )
  }
  /** Logs whose findings depend on their policy. */
  const judged = new Set<string>()
  for (const finding of findings(view, paths, verdict)) {
    if (JUDGED.includes(finding.kind)) judged.add(posix.dirname(finding.shard))
    if (finding.isDamage) verdict.damages++
    else verdict.notes++
    if (finding.isDamage) verdict.lostRecords += finding.recordCount
    io.out(options.json === true ? `${JSON.stringify(finding)}\n` : findingText(finding))
  }
  io.out(options.json === true ? `${JSON.stringify(verdict)}\n` : verdictText(verdict))
  for (const log of judged) warnOfPolicy(view, log, io)
  if (verdict.damages > 0) throw new Exit(EXIT.failure)
}

function* findings(
  view: StoreView,
  paths: readonly string[],
  verdict: Verdict
): Generator<Finding> {
  for (const fault of view.faults) {
    const none = { file: null, startByte: null, endByte: null, firstOffset: null, unfinished: {} }
    yield { kind: 'meta', isDamage: true, shard: '', ...none, recordCount: 0, text: fault }
  }
  // Without META no hash can be checked: names and sizes are all there is to say (`queue show`).
  if (view.meta === null) return
  for (const path of paths) {
    const shard = openShardView(view, path)
    try {
      yield* verifyShard(shard, verdict.isDeep, verdict)
    } finally {
      shard.segments.close()
    }
  }
}

function findingText(finding: Finding): string {
  const { endByte, file, firstOffset, isDamage, kind, recordCount, shard, startByte } = finding
  const place = [shard, file].filter((part) => part !== null && part !== '').join('/')
  const bytes = startByte === null ? '' : ` bytes ${startByte} to ${endByte}`
  const records =
    firstOffset === null || recordCount === 0
      ? ''
      : `, ${recordCount} records from offset ${firstOffset}`
  const unfinished = Object.entries(finding.unfinished)
  const waiting = unfinished.map(([output, count]) => `${output} ${count}`).join(', ')
  const owed = waiting === '' ? '' : `; not finished: ${waiting}`
  return `${isDamage ? 'DAMAGE' : 'note'}  ${kind}  ${place}${bytes}${records}: ${finding.text}${owed}\n`
}

function verdictText(verdict: Verdict): string {
  const { bytes, damages, frames, isDeep, locked, lostRecords, notes, records, segments } = verdict
  const read = isDeep
    ? `${records} records in ${frames} frames read`
    : 'the last segment of each shard read, the others by header and footer'
  const keys = locked === 0 ? '' : `, ${locked} of them encrypted and not opened`
  const count = damages === 1 ? '1 place' : `${damages} places`
  const result =
    damages === 0 ? 'no damage' : `damage in ${count}, ${lostRecords} records cannot be read`
  return `${segments} segments, ${formatBytes(bytes)}, ${read}${keys}: ${result}, ${notes} notes\n`
}
