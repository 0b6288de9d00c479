// Runs on: main.
// Imported before anything else, because each of these only works before something else has happened.

import { setFlagsFromString } from 'node:v8'

/**
 * Threads of libuv's pool, which file system calls, DNS and zlib of all our threads share: with the default of 4, four
 * slow syncs would stall name resolution. Read once, when the pool is first used; Node 24 has not used it by now.
 */
const UV_THREADS = '16'

process.env['UV_THREADPOOL_SIZE'] ??= UV_THREADS

/** Backtracking steps after which V8 goes on with its linear engine: what a sane pattern never needs on one line. */
const BACKTRACKS_MAX = 20_000

// Before any pattern of a user is compiled; other threads inherit it. Patterns with back references and lookaround have
// no linear form and stay as they are.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
setFlagsFromString(`--regexp-backtracks-before-fallback=${BACKTRACKS_MAX}`)

/** Without a listener, SIGUSR1 opens V8's inspector: code execution for whoever has the same user id. */
process.on('SIGUSR1', () => {
  for (const listener of flushListeners) listener()
})

const flushListeners = new Set<() => void>()

/** Calls `listener` at each SIGUSR1: send what is waiting now. */
export function onFlushSignal(listener: () => void): void {
  flushListeners.add(listener)
}
