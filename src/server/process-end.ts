// Runs on: main.
// The end of the process, bounded in time. It ends by itself when nothing is left to do; what hangs, in a driver or on a
// disk that does not answer, is given up after a limit, with the exit code that the process was to have and a line in the
// log that names what did not end.
//
// `process.exit` is no way out of that: it joins the threads of the file system and the workers, and waits for ever for one
// that sits in a system call (tried with Node 24.21: a read that never returns). Replacing the process image ends all
// threads at once, releases the lock of the data directory and leaves an exit code. What not even SIGKILL ends, a thread in
// an uninterruptible call of the kernel, ends when the kernel lets go of it.

import { systemClock } from '../core/clock.ts'
import { EXIT } from '../core/errors.ts'
import type { OutputLog } from '../plugin/output.ts'

/** What a stop may take besides the drain, milliseconds. */
export const STOP_MS_MAX = 10_000
/** From the end of a stop, or of a start that failed, to the end of the process, milliseconds. */
export const EXIT_MS_MAX = 5000

export interface StopWatch {
  readonly log: OutputLog
  readonly drainMs: number
  /** Exit code of the stop; one that hangs is no success. */
  readonly code: number
  /** What the stop waits for. */
  readonly waitsFor: () => string
}

/** Gives a stop up that takes too long. Returns what cancels that. */
export function limitStop({ code, drainMs, log, waitsFor }: StopWatch): () => void {
  return systemClock.after(drainMs + STOP_MS_MAX, () => {
    log.error(
      { event: 'stop.abandoned', waits_for: waitsFor() },
      'the stop takes too long and is given up; nothing acknowledged is lost, what was delivered last may be sent again'
    )
    endNow(code === EXIT.ok ? EXIT.internal : code)
  })
}

/** From here on nothing is to be done. The timer itself keeps nothing alive. */
export function limitExit(log: OutputLog): void {
  systemClock.after(EXIT_MS_MAX, () => {
    log.error(
      { event: 'exit.abandoned', waits_for: process.getActiveResourcesInfo().join(', ') },
      'everything is stopped and the process does not end by itself: it is ended'
    )
    endNow(Number(process.exitCode ?? EXIT.ok))
  })
}

function endNow(code: number): void {
  const { execPath } = process
  process.execve?.(execPath, [execPath, '-e', `process.exitCode=${code}`], {})
  // Where the system has no such call.
  process.exit(code)
}
