// What the kernel says about a process tree: CPU time and resident memory, read from /proc (Linux only).

import { readdirSync, readFileSync } from 'node:fs'

/** Unit of utime and stime in /proc/PID/stat; 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // The process has ended between two reads.
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
  } catch {
    return []
  }
}

/** The process and all its living descendants. */
export function processTree(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number)
  )
  return [pid, ...children.flatMap(processTree)]
}

/** User and system seconds of all threads, reaped children included. */
export function cpuSeconds(pid: number): number {
  let ticks = 0
  for (const member of processTree(pid)) {
    const stat = read(`/proc/${member}/stat`)
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    for (const at of [11, 12, 13, 14]) ticks += Number(fields[at] ?? 0)
  }
  return ticks / TICKS_PER_SECOND
}

/** CPU seconds by thread name, of the process itself. */
export function cpuSecondsByThread(pid: number): Record<string, number> {
  const byThread: Record<string, number> = {}
  for (const thread of threadsOf(pid)) {
    const stat = read(`/proc/${pid}/task/${thread}/stat`)
    if (stat === '') continue
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
    byThread[name] = (byThread[name] ?? 0) + ticks / TICKS_PER_SECOND
  }
  return byThread
}

export interface Memory {
  readonly residentBytes: number
  /** Without mapped files. */
  readonly anonymousBytes: number
}

export function memory(pid: number): Memory {
  let resident = 0
  let anonymous = 0
  for (const member of processTree(pid)) {
    const status = read(`/proc/${member}/status`)
    resident += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
    anonymous += Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return { residentBytes: resident * 1024, anonymousBytes: anonymous * 1024 }
}
