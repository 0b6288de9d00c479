// Runs on: main.
// Imported before anything else, because each of these only works before something else has happened.

import { boundPatternTime } from './steps/regex-fallback.ts'

/**
 * Threads of libuv's pool, which file system calls, DNS and zlib of all our threads share: with the default of 4, four
 * slow syncs would stall name resolution. Read once, when the pool is first used; Node 24 has not used it by now.
 */
const UV_THREADS = '16'

process.env['UV_THREADPOOL_SIZE'] ??= UV_THREADS

// Before any pattern of a user is compiled; other threads inherit it.
boundPatternTime()

// Without a listener, SIGUSR1 opens V8's inspector: code execution for whoever has the same user id.
process.on('SIGUSR1', () => {})
