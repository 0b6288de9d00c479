// Runs on: main.
// Finds and reads the configuration files and merges them into one. The only reader of the environment.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { errnoOf } from '../core/errors.ts'
import { DEFAULT_CONFIG_NAME, DEFAULT_CONFIG_TEXT } from './default-config.ts'
import { type Finding, formatPath, type Place } from './findings.ts'
import { type PlaceTree, placeTree } from './places.ts'
import { readConfigText } from './read.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** What the command line says about configuration. */
export interface LoadRequest {
  /** `--config`, in order. */
  readonly files: readonly string[]
  /** `--config-dir`. */
  readonly directory: string | null
  readonly environment: Environment
  readonly workingDirectory: string
}

export interface LoadedConfig {
  /** Merged; `null` when nothing could be read. */
  readonly data: unknown
  readonly places: PlaceTree
  readonly findings: readonly Finding[]
  /** As shown to the user, in the order of reading. */
  readonly files: readonly string[]
  /** Directory of the first file; the working directory without one. */
  readonly baseDir: string
}

/** Where a configuration is looked for without `--config` and `MILLRACE_CONFIG`. */
const DEFAULT_FILES = ['/etc/millrace/millrace.yaml', './millrace.yaml']
/** A configuration is written by people; a bigger file is something else. */
const FILE_BYTES_MAX = 4 * 1024 * 1024
/** Variables that stand for a key, so that an image can be opened without a file. */
const VARIABLES: readonly { name: string; path: readonly [string, ...string[]] }[] = [
  { name: 'MILLRACE_DATA_DIR', path: ['data_dir'] },
  { name: 'MILLRACE_ADMIN_LISTEN', path: ['admin', 'listen'] }
]

/** The environment of the process. */
export const processEnvironment = (): Environment => process.env

/** Reads everything that belongs to the configuration. Faults are findings; nothing is thrown for what a user wrote. */
export function loadConfig(request: LoadRequest): LoadedConfig {
  const findings: Finding[] = []
  const files = filesOf(request, findings)
  const merged = new Merge(findings)
  for (const file of files) {
    const text = readText(file, request, findings)
    if (text === null) continue
    const directory = dirname(resolve(request.workingDirectory, file))
    const read = readConfigText(file, text, {
      environment: request.environment,
      readFile: (path) => readFileSync(isAbsolute(path) ? path : join(directory, path), 'utf8')
    })
    findings.push(...read.findings)
    merged.add(read.data, read.places)
  }
  for (const { name, path } of VARIABLES) {
    const value = request.environment[name]
    if (value !== undefined && value !== '') merged.override(name, path, value)
  }
  const first = files[0]
  const hasFile = first !== undefined && first !== DEFAULT_CONFIG_NAME
  const baseDir = hasFile
    ? dirname(resolve(request.workingDirectory, first))
    : request.workingDirectory
  return { data: merged.data, places: merged.places, findings, files, baseDir }
}

/** The built-in configuration is a file of its own name, without a place on the disk. */
function readText(file: string, request: LoadRequest, findings: Finding[]): string | null {
  if (file === DEFAULT_CONFIG_NAME) return DEFAULT_CONFIG_TEXT
  try {
    const path = resolve(request.workingDirectory, file)
    const byteCount = statSync(path).size
    if (byteCount > FILE_BYTES_MAX) {
      const message = `file of ${byteCount} bytes exceeds ${FILE_BYTES_MAX}`
      findings.push(fileFinding(file, message))
      return null
    }
    return readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    findings.push(fileFinding(file, `file cannot be read: ${errnoOf(error) || 'unknown error'}`))
    return null
  }
}

function filesOf(request: LoadRequest, findings: Finding[]): string[] {
  const files = [...request.files]
  if (request.directory !== null)
    files.push(...directoryFiles(request.directory, request, findings))
  if (files.length > 0 || request.directory !== null) return files
  const variable = request.environment['MILLRACE_CONFIG'] ?? ''
  if (variable !== '') return variable.split(':').filter((part) => part !== '')
  const found = DEFAULT_FILES.find((file) => isFile(resolve(request.workingDirectory, file)))
  return [found ?? DEFAULT_CONFIG_NAME]
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

function directoryFiles(directory: string, request: LoadRequest, findings: Finding[]): string[] {
  try {
    const names = readdirSync(resolve(request.workingDirectory, directory)).toSorted()
    for (const name of names.filter((each) => /(\.(bak|old|orig|dist)|~)$/.test(each))) {
      const message = 'file is left out: its name says that it is an old copy'
      findings.push({ ...fileFinding(join(directory, name), message), level: 'warning' })
    }
    const files = names.filter((name) => /\.(ya?ml|json)$/.test(name))
    if (files.length === 0) {
      findings.push(fileFinding(directory, 'directory holds no *.yaml, *.yml or *.json'))
    }
    return files.map((name) => join(directory, name))
  } catch (error) {
    const message = `directory cannot be read: ${errnoOf(error) || 'unknown error'}`
    findings.push(fileFinding(directory, message))
    return []
  }
}

function fileFinding(file: string, message: string): Finding {
  const place = { file, line: 1, column: 1 }
  return { level: 'error', code: 'MR_CONFIG_READ', place, path: '', message, hint: null }
}

/** Several files as one: maps of the top level are joined by key, everything else may stand in one file only. */
class Merge {
  data: unknown = null
  places: PlaceTree
  readonly #findings: Finding[]

  constructor(findings: Finding[]) {
    const nowhere = { file: '', line: 1, column: 1 }
    this.places = placeTree(nowhere, nowhere)
    this.#findings = findings
  }

  add(data: unknown, places: PlaceTree): void {
    if (!isMap(this.data) || !isMap(data)) {
      if (this.data !== null && data !== null) this.#duplicate([], places.value, this.places.value)
      if (this.data === null) {
        this.data = data
        this.places = places
      }
      return
    }
    const merged: Record<string, unknown> = { ...this.data }
    for (const [key, value] of Object.entries(data)) {
      const place = places.children.get(key)
      if (place === undefined) continue
      const before = this.places.children.get(key)
      if (before === undefined) {
        merged[key] = value
        this.places.children.set(key, place)
      } else if (isMap(merged[key]) && isMap(value)) {
        merged[key] = this.#join(key, merged[key], value, before, place)
      } else if (merged[key] !== value) {
        this.#duplicate([key], place.key, before.key)
      }
    }
    this.data = merged
  }

  #join(
    key: string,
    first: Readonly<Record<string, unknown>>,
    second: Readonly<Record<string, unknown>>,
    before: PlaceTree,
    place: PlaceTree
  ): Record<string, unknown> {
    const joined: Record<string, unknown> = { ...first }
    for (const [id, value] of Object.entries(second)) {
      const here = place.children.get(id)
      const there = before.children.get(id)
      if (there !== undefined && here !== undefined) {
        this.#duplicate([key, id], here.key, there.key)
        continue
      }
      joined[id] = value
      if (here !== undefined) before.children.set(id, here)
    }
    return joined
  }

  #duplicate(path: readonly string[], place: Place, first: Place): void {
    const where = `${first.file}:${first.line}:${first.column}`
    const what = path.length === 0 ? 'file that is no map' : `"${path.at(-1)}"`
    this.#findings.push({
      level: 'error',
      code: 'MR_CONFIG_DUPLICATE',
      place,
      path: formatPath(path),
      message: `${what} stands in two files, first in ${where}`,
      hint: null
    })
  }

  /** A variable of the environment in place of a key. */
  override(name: string, path: readonly [string, ...string[]], value: string): void {
    if (this.data !== null && !isMap(this.data)) return
    const place = { file: name, line: 1, column: 1 }
    const [top, below] = path
    const data: Record<string, unknown> = { ...(this.data ?? {}) }
    const tree = this.places.children.get(top) ?? placeTree(place, place)
    if (below === undefined) {
      data[top] = value
      this.places.children.set(top, placeTree(place, place, true))
    } else {
      data[top] = { ...(isMap(data[top]) ? data[top] : {}), [below]: value }
      tree.children.set(below, placeTree(place, place, true))
      this.places.children.set(top, tree)
    }
    this.data = data
  }
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
