// A disk that fails on request under a real process: test/faults/fault-shim.c, compiled here, and its control file.

import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { findProgram } from './require-program.ts'

const SOURCE = join(import.meta.dirname, '../faults/fault-shim.c')
const CONTROL_BYTES = 8192
const HITS_AT = 64
const RULES_AT = 1024

export type FaultCall =
  | 'create'
  | 'open'
  | 'write'
  | 'sync'
  | 'dirsync'
  | 'truncate'
  | 'unlink'
  | 'read'
export type FaultErrno = 'EIO' | 'ENOSPC' | 'EDQUOT' | 'EROFS' | 'EMFILE' | 'EACCES'

export interface FaultRule {
  readonly call: FaultCall
  /** Part of the path. */
  readonly path: string
  readonly action: FaultErrno | 'short' | `delay:${number}`
  /** Number of the first matching call that fails. Default: 1. */
  readonly from?: number
  /** How many fail; 0: all from there on. */
  readonly count: number
}

/** Compiler for the shim; null: none here. */
export const compiler = findProgram('MILLRACE_TEST_CC', 'cc')

/** Compiles the shim into a folder. */
export function compileShim(folder: string): string {
  const library = join(folder, 'fault-shim.so')
  const options = ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, SOURCE]
  const { status, stderr } = spawnSync(compiler ?? 'cc', [...options, '-ldl', '-lpthread'])
  if (status !== 0) throw new Error(`cc: ${stderr}`)
  return library
}

export class Faults {
  /** Environment of the process whose disk fails. */
  readonly env: Readonly<Record<string, string>>
  readonly #file: number
  #generation = 0

  constructor(library: string, folder: string) {
    const control = join(folder, 'faults')
    writeFileSync(control, Buffer.alloc(CONTROL_BYTES))
    this.#file = openSync(control, 'r+')
    this.env = { LD_PRELOAD: library, MILLRACE_FAULTS: control }
  }

  /** Puts rules in the place of those that were in force; the first that fits a call decides. */
  set(...rules: readonly FaultRule[]): void {
    const bytes = Buffer.alloc(CONTROL_BYTES - HITS_AT)
    const text = rules.map(lineOf).join('\n')
    bytes.write(`${text}\n`, RULES_AT - HITS_AT, 'latin1')
    writeSync(this.#file, bytes, 0, bytes.length, HITS_AT)
    const generation = Buffer.alloc(8)
    generation.writeBigUInt64LE(BigInt(++this.#generation))
    writeSync(this.#file, generation, 0, generation.length, 0)
  }

  clear(): void {
    this.set()
  }

  /** How often a rule was applied since it was set. */
  hits(rule = 0): number {
    const bytes = Buffer.alloc(8)
    readSync(this.#file, bytes, 0, bytes.length, HITS_AT + rule * 8)
    return Number(bytes.readBigUInt64LE())
  }

  close(): void {
    closeSync(this.#file)
  }
}

function lineOf({ action, call, count, from = 1, path }: FaultRule): string {
  const number = (constants.errno as Readonly<Record<string, number>>)[action]
  return `${call} ${path} ${number ?? action} ${from} ${count}`
}
