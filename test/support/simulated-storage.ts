// A disk that can lose its power between any two operations. It keeps what is durable apart from what is only written: a
// crash keeps any subset of the unsynced sectors, leaves some zero, and keeps any subset of the unsynced operations on
// directories. Same seed, same disk.

import path from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import type { FileStat, OpenMode, Storage, VolumeStat } from '../../src/storage/storage.ts'
import { seededRandom } from './seeded-random.ts'

const SECTOR_BYTES = 512

/** Numbers of nodes, as inodes. */
const identities = new WeakMap<object, string>()
let identityCount = 0

function statOf(node: Node): FileStat {
  const identity = identities.get(node) ?? `1:${++identityCount}`
  identities.set(node, identity)
  return node.kind === 'directory'
    ? { byteCount: 4096, isDirectory: true, linkCount: 2, identity }
    : { byteCount: node.byteCount, isDirectory: false, linkCount: node.linkCount, identity }
}

export class CrashSignal extends Error {
  override readonly name = 'CrashSignal'
}

export type OperationName =
  | 'create'
  | 'writev'
  | 'truncate'
  | 'datasync'
  | 'dirsync'
  | 'unlink'
  | 'rename'
  | 'mkdir'
  | 'rmdir'
  | 'pread'

export interface Operation {
  readonly name: OperationName
  readonly path: string
  /** Number of this operation among those that change something, from 1. */
  readonly number: number
}

interface FileNode {
  readonly kind: 'file'
  /** Copied before they are changed: forks share them. */
  bytes: Buffer
  byteCount: number
  durable: Buffer
  durableBytes: number
  areBytesShared: boolean
  isDurableShared: boolean
  dirty: Set<number>
  linkCount: number
}

interface DirectoryNode {
  readonly kind: 'directory'
  entries: Map<string, Node>
  durable: Map<string, Node>
  pending: PendingName[]
}

type Node = FileNode | DirectoryNode

/** One change of names; a rename is one change, whatever directories it touches. */
interface PendingName {
  readonly id: number
  readonly name: string
  /** null: the name goes. */
  readonly node: Node | null
}

interface PendingSync {
  readonly complete: () => void
}

interface Handle {
  readonly node: FileNode
  readonly path: string
}

export interface SimulationOptions {
  readonly seed?: number
  readonly capacityBytes?: number
}

function systemError(code: string, operation: string, file: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${operation} '${file}'`), { code })
}

export class SimulatedStorage implements Storage {
  operationCount = 0
  /** The power goes before this operation takes effect, or while it does. */
  crashAtOperation = Number.POSITIVE_INFINITY
  isCrashed = false
  /** Errno of an operation that is to fail; null: it works. */
  fail: (operation: Operation) => string | null = () => null
  /** Bytes that a write takes; null: all. */
  shorten: (operation: Operation, byteCount: number) => number | null = () => null
  capacityBytes: number
  freeInodes = 1_000_000
  pauseCount = 0
  /** True: syncs wait for `completeSyncs`. */
  isHoldingSyncs = false
  readonly log: Operation[] = []
  readonly random: Random
  #root: DirectoryNode = newDirectory()
  #handles = new Map<number, Handle>()
  #nextHandle = 3
  #nextNameId = 1
  #syncs: PendingSync[] = []

  constructor(options: SimulationOptions = {}) {
    this.random = seededRandom(options.seed ?? 1)
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
  }

  get openFileCount(): number {
    return this.#handles.size
  }

  get heldSyncCount(): number {
    return this.#syncs.length
  }

  open(file: string, mode: OpenMode): number {
    this.#checkAlive()
    const { directory, name } = this.#parentOf(file)
    let node = directory.entries.get(name)
    if (mode === 'create') {
      if (node !== undefined) throw systemError('EEXIST', 'open', file)
      this.#begin('create', file)
      if (this.freeInodes <= 0) throw systemError('ENOSPC', 'open', file)
      node = newFile()
      this.#setName(directory, name, node)
    }
    if (node === undefined) throw systemError('ENOENT', 'open', file)
    if (node.kind === 'directory') throw systemError('EISDIR', 'open', file)
    const handle = this.#nextHandle++
    this.#handles.set(handle, { node, path: file })
    return handle
  }

  close(file: number): void {
    this.#handles.delete(file)
  }

  writev(file: number, parts: readonly Uint8Array[], atByte: number): number {
    const { node, path: name } = this.#handle(file)
    const bytes = Buffer.concat(parts)
    const number = this.operationCount + 1
    let count = this.shorten({ name: 'writev', path: name, number }, bytes.length) ?? bytes.length
    if (number === this.crashAtOperation) {
      writeAt(node, bytes.subarray(0, Math.floor(this.random() * (count + 1))), atByte)
    }
    this.#begin('writev', name)
    const growth = Math.max(0, atByte + count - node.byteCount)
    const freeBytes = this.capacityBytes - this.#usedBytes()
    if (growth > freeBytes) {
      count = Math.max(0, count - (growth - Math.max(0, freeBytes)))
      if (count === 0) throw systemError('ENOSPC', 'write', name)
    }
    writeAt(node, bytes.subarray(0, count), atByte)
    return count
  }

  pread(file: number, into: Uint8Array, atByte: number): number {
    const { node, path: name } = this.#handle(file)
    const errno = this.fail({ name: 'pread', path: name, number: atByte })
    if (errno !== null) throw systemError(errno, 'read', name)
    const count = Math.max(0, Math.min(into.length, node.byteCount - atByte))
    if (count > 0) node.bytes.copy(into, 0, atByte, atByte + count)
    return count
  }

  truncate(file: number, byteCount: number): void {
    const { node, path: name } = this.#handle(file)
    this.#begin('truncate', name)
    resize(node, byteCount)
  }

  datasync(file: number): Promise<void> {
    const { node, path: name } = this.#handle(file)
    return this.#later('datasync', name, captureSync(node))
  }

  datasyncNow(file: number): void {
    const { node, path: name } = this.#handle(file)
    const sync = captureSync(node)
    try {
      this.#begin('datasync', name)
    } catch (error) {
      if (!this.isCrashed) sync.fail()
      throw error
    }
    sync.succeed()
  }

  dirsync(directory: string): Promise<void> {
    this.#checkAlive()
    const node = this.#directory(directory)
    const names = [...node.pending]
    return this.#later('dirsync', directory, {
      succeed: () => applyNames(node, names),
      fail: () => undefined
    })
  }

  dirsyncNow(directory: string): void {
    this.#checkAlive()
    const node = this.#directory(directory)
    this.#begin('dirsync', directory)
    applyNames(node, [...node.pending])
  }

  fstat(file: number): FileStat {
    const { node } = this.#handle(file)
    return statOf(node)
  }

  stat(file: string): FileStat | null {
    this.#checkAlive()
    const node = this.#find(file)
    if (node === null) return null
    return statOf(node)
  }

  readdir(directory: string): string[] {
    this.#checkAlive()
    return [...this.#directory(directory).entries.keys()]
  }

  unlink(file: string): void {
    this.#checkAlive()
    const { directory, name } = this.#parentOf(file)
    const node = directory.entries.get(name)
    if (node === undefined) throw systemError('ENOENT', 'unlink', file)
    this.#begin('unlink', file)
    if (node.kind === 'file') node.linkCount--
    this.#setName(directory, name, null)
  }

  rename(from: string, to: string): void {
    this.#checkAlive()
    const source = this.#parentOf(from)
    const target = this.#parentOf(to)
    const node = source.directory.entries.get(source.name)
    if (node === undefined) throw systemError('ENOENT', 'rename', from)
    this.#begin('rename', from)
    const replaced = target.directory.entries.get(target.name)
    if (replaced?.kind === 'file') replaced.linkCount--
    const id = this.#nextNameId++
    this.#setName(source.directory, source.name, null, id)
    this.#setName(target.directory, target.name, node, id)
  }

  mkdir(directory: string): string | undefined {
    this.#checkAlive()
    let node = this.#root
    let at = '/'
    let firstMade: string | undefined
    for (const name of directory.split('/').filter(Boolean)) {
      at = path.join(at, name)
      let child = node.entries.get(name)
      if (child === undefined) {
        this.#begin('mkdir', at)
        child = newDirectory()
        this.#setName(node, name, child)
        firstMade ??= at
      }
      if (child.kind === 'file') throw systemError('ENOTDIR', 'mkdir', at)
      node = child
    }
    return firstMade
  }

  rmdir(directory: string): void {
    this.#checkAlive()
    const { directory: parent, name } = this.#parentOf(directory)
    if (this.#directory(directory).entries.size > 0) {
      throw systemError('ENOTEMPTY', 'rmdir', directory)
    }
    this.#begin('rmdir', directory)
    this.#setName(parent, name, null)
  }

  statfs(): VolumeStat {
    const totalBytes = Number.isFinite(this.capacityBytes) ? this.capacityBytes : 2 ** 40
    return {
      totalBytes,
      freeBytes: totalBytes - this.#usedBytes(),
      totalInodes: 1_000_000,
      freeInodes: this.freeInodes,
      kind: 0xef53
    }
  }

  pause(): void {
    this.pauseCount++
  }

  // What tests do to the disk

  /** Ends the syncs that wait, oldest first. */
  completeSyncs(count = Number.POSITIVE_INFINITY): void {
    for (const sync of this.#syncs.splice(0, count)) sync.complete()
  }

  /** The power goes and comes back: what a real disk could hold then becomes its state. */
  crash(): void {
    this.#handles.clear()
    this.#syncs = []
    const kept = new Map<number, boolean>()
    this.#crashDirectory(this.#root, kept)
    this.revive()
  }

  /** The process dies and the kernel lives: everything written stays, nothing more is durable. */
  kill(): void {
    this.#handles.clear()
    this.#syncs = []
    this.revive()
  }

  /** Operations work again. */
  revive(): void {
    this.isCrashed = false
    this.crashAtOperation = Number.POSITIVE_INFINITY
    this.fail = () => null
    this.shorten = () => null
    this.isHoldingSyncs = false
  }

  bytesOf(file: string): Buffer {
    const node = this.#find(file)
    if (node?.kind !== 'file') throw systemError('ENOENT', 'read', file)
    return Buffer.from(node.bytes.subarray(0, node.byteCount))
  }

  /** Puts a file there, durable, whatever was there before. */
  put(file: string, bytes: Buffer): void {
    this.mkdir(path.dirname(file))
    for (let at = path.dirname(file); ; at = path.dirname(at)) {
      const parent = this.#directory(at)
      applyNames(parent, [...parent.pending])
      if (at === '/') break
    }
    const { directory, name } = this.#parentOf(file)
    const node = newFile()
    writeAt(node, bytes, 0)
    captureSync(node).succeed()
    directory.entries.set(name, node)
    directory.durable.set(name, node)
  }

  remove(file: string): void {
    const { directory, name } = this.#parentOf(file)
    directory.entries.delete(name)
    directory.durable.delete(name)
  }

  /** Every file with its contents, for comparing trees. */
  tree(from = '/'): Map<string, string> {
    const found = new Map<string, string>()
    const walk = (directory: DirectoryNode, at: string) => {
      for (const [name, node] of directory.entries) {
        const file = path.join(at, name)
        if (node.kind === 'directory') walk(node, file)
        else found.set(file, node.bytes.toString('latin1', 0, node.byteCount))
      }
    }
    const node = this.#find(from)
    if (node?.kind === 'directory') walk(node, from)
    return found
  }

  /** An independent disk in the same state, what is not durable included, with chances of its own. Nothing is open. */
  fork(seed: number): SimulatedStorage {
    const copy = new SimulatedStorage({ seed, capacityBytes: this.capacityBytes })
    copy.#root = forkDirectory(this.#root, new Map())
    copy.#nextNameId = this.#nextNameId
    copy.operationCount = this.operationCount
    return copy
  }

  /** An independent disk with the same contents, all of it durable. */
  clone(seed = 1): SimulatedStorage {
    const copy = new SimulatedStorage({ seed, capacityBytes: this.capacityBytes })
    for (const [file, text] of this.tree()) copy.put(file, Buffer.from(text, 'latin1'))
    return copy
  }

  // Inside

  #checkAlive(): void {
    if (this.isCrashed) throw new CrashSignal('the power is off')
  }

  #begin(name: OperationName, file: string): void {
    this.#checkAlive()
    this.operationCount++
    const operation = { name, path: file, number: this.operationCount }
    this.log.push(operation)
    if (this.operationCount >= this.crashAtOperation) {
      this.isCrashed = true
      throw new CrashSignal(`power cut at operation ${this.operationCount}, ${name} ${file}`)
    }
    const errno = this.fail(operation)
    if (errno !== null) throw systemError(errno, name, file)
  }

  #later(
    name: OperationName,
    file: string,
    effect: { succeed: () => void; fail: () => void }
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const complete = () => {
        if (this.isCrashed) return
        try {
          this.#begin(name, file)
        } catch (error) {
          // After a power cut nobody is left to hear of it.
          if (this.isCrashed) return
          effect.fail()
          reject(error)
          return
        }
        effect.succeed()
        resolve()
      }
      if (this.isHoldingSyncs) this.#syncs.push({ complete })
      else queueMicrotask(complete)
    })
  }

  #handle(file: number): Handle {
    this.#checkAlive()
    const handle = this.#handles.get(file)
    if (handle === undefined) throw systemError('EBADF', 'use of', String(file))
    return handle
  }

  #find(file: string): Node | null {
    let node: Node = this.#root
    for (const name of file.split('/').filter(Boolean)) {
      if (node.kind === 'file') return null
      const child: Node | undefined = node.entries.get(name)
      if (child === undefined) return null
      node = child
    }
    return node
  }

  #directory(directory: string): DirectoryNode {
    const node = this.#find(directory)
    if (node === null) throw systemError('ENOENT', 'open', directory)
    if (node.kind === 'file') throw systemError('ENOTDIR', 'open', directory)
    return node
  }

  #parentOf(file: string): { directory: DirectoryNode; name: string } {
    return { directory: this.#directory(path.dirname(file)), name: path.basename(file) }
  }

  #setName(
    directory: DirectoryNode,
    name: string,
    node: Node | null,
    id = this.#nextNameId++
  ): void {
    if (node === null) directory.entries.delete(name)
    else directory.entries.set(name, node)
    directory.pending.push({ id, name, node })
  }

  #usedBytes(): number {
    let byteCount = 0
    const walk = (directory: DirectoryNode) => {
      for (const node of directory.entries.values()) {
        if (node.kind === 'directory') walk(node)
        else byteCount += node.byteCount
      }
    }
    if (Number.isFinite(this.capacityBytes)) walk(this.#root)
    return byteCount
  }

  #crashDirectory(directory: DirectoryNode, kept: Map<number, boolean>): void {
    const names = directory.pending.filter(({ id }) => {
      const isKept = kept.get(id) ?? this.random() < 0.5
      kept.set(id, isKept)
      return isKept
    })
    for (const { name, node } of names) {
      if (node === null) directory.durable.delete(name)
      else directory.durable.set(name, node)
    }
    directory.entries = new Map(directory.durable)
    directory.pending = []
    for (const node of directory.entries.values()) {
      if (node.kind === 'directory') this.#crashDirectory(node, kept)
      else this.#crashFile(node)
    }
  }

  #crashFile(node: FileNode): void {
    const { random } = this
    node.linkCount = 1
    if (node.dirty.size === 0 && node.byteCount === node.durableBytes) {
      node.bytes = node.durable
      node.areBytesShared = true
      node.isDurableShared = true
      return
    }
    const grown = node.byteCount - node.durableBytes
    const sizes = [
      node.durableBytes,
      node.byteCount,
      node.durableBytes + Math.floor(random() * grown)
    ]
    const byteCount = sizes[Math.floor(random() * sizes.length)] ?? node.durableBytes
    const bytes = Buffer.alloc(Math.max(byteCount, node.durableBytes))
    node.durable.copy(bytes, 0, 0, node.durableBytes)
    const keepShare = random()
    for (const sector of node.dirty) {
      const from = sector * SECTOR_BYTES
      const end = Math.min(from + SECTOR_BYTES, node.byteCount)
      // Else a sector that was durable stays as it was, and one that never was reads as zeros.
      if (from < end && random() < keepShare) node.bytes.copy(bytes, from, from, end)
    }
    node.bytes = bytes.subarray(0, byteCount)
    node.byteCount = byteCount
    node.durable = node.bytes
    node.durableBytes = byteCount
    node.areBytesShared = true
    node.isDurableShared = true
    node.dirty = new Set()
  }
}

function newFile(): FileNode {
  return {
    kind: 'file',
    bytes: Buffer.alloc(0),
    byteCount: 0,
    durable: Buffer.alloc(0),
    durableBytes: 0,
    areBytesShared: false,
    isDurableShared: false,
    dirty: new Set(),
    linkCount: 1
  }
}

function newDirectory(): DirectoryNode {
  return { kind: 'directory', entries: new Map(), durable: new Map(), pending: [] }
}

/** A node keeps being one node, whatever names lead to it. */
function forkNode(node: Node, known: Map<Node, Node>): Node {
  const found = known.get(node)
  if (found !== undefined) return found
  if (node.kind === 'directory') return forkDirectory(node, known)
  node.areBytesShared = true
  node.isDurableShared = true
  const copy: FileNode = { ...node, dirty: new Set(node.dirty) }
  known.set(node, copy)
  return copy
}

function forkDirectory(directory: DirectoryNode, known: Map<Node, Node>): DirectoryNode {
  const copy = newDirectory()
  known.set(directory, copy)
  const forked = (names: ReadonlyMap<string, Node>) =>
    new Map([...names].map(([name, node]) => [name, forkNode(node, known)]))
  copy.entries = forked(directory.entries)
  copy.durable = forked(directory.durable)
  copy.pending = directory.pending.map(({ id, name, node }) => ({
    id,
    name,
    node: node === null ? null : forkNode(node, known)
  }))
  return copy
}

function grown(bytes: Buffer, byteCount: number): Buffer {
  if (bytes.length >= byteCount) return bytes
  const bigger = Buffer.alloc(Math.max(byteCount, bytes.length * 2, 4096))
  bytes.copy(bigger)
  return bigger
}

function writeAt(node: FileNode, bytes: Buffer, atByte: number): void {
  if (bytes.length === 0) return
  const endByte = atByte + bytes.length
  ownBytes(node)
  node.bytes = grown(node.bytes, endByte)
  bytes.copy(node.bytes, atByte)
  node.byteCount = Math.max(node.byteCount, endByte)
  const first = Math.floor(atByte / SECTOR_BYTES)
  for (let sector = first; sector * SECTOR_BYTES < endByte; sector++) node.dirty.add(sector)
}

function ownBytes(node: FileNode): void {
  if (node.areBytesShared) node.bytes = Buffer.from(node.bytes)
  node.areBytesShared = false
}

function resize(node: FileNode, byteCount: number): void {
  ownBytes(node)
  if (byteCount < node.byteCount) node.bytes.fill(0, byteCount, node.byteCount)
  node.bytes = grown(node.bytes, byteCount)
  node.byteCount = byteCount
  node.dirty.add(Math.floor(byteCount / SECTOR_BYTES))
}

/** What a sync that begins now makes durable; a failed one marks the pages clean all the same, as Linux does. */
function captureSync(node: FileNode): { succeed: () => void; fail: () => void } {
  const { byteCount } = node
  const sectors = new Map<number, Buffer>()
  for (const sector of node.dirty) {
    const from = sector * SECTOR_BYTES
    sectors.set(sector, Buffer.from(node.bytes.subarray(from, from + SECTOR_BYTES)))
  }
  const clean = () => {
    for (const [sector, captured] of sectors) {
      const from = sector * SECTOR_BYTES
      const now = node.bytes.subarray(from, from + SECTOR_BYTES)
      if (now.equals(captured)) node.dirty.delete(sector)
    }
  }
  return {
    succeed() {
      if (node.isDurableShared) node.durable = Buffer.from(node.durable)
      node.isDurableShared = false
      node.durable = grown(node.durable, Math.max(byteCount, node.durableBytes))
      for (const [sector, captured] of sectors) captured.copy(node.durable, sector * SECTOR_BYTES)
      node.durableBytes = byteCount
      clean()
    },
    fail: clean
  }
}

function applyNames(directory: DirectoryNode, names: readonly PendingName[]): void {
  for (const { name, node } of names) {
    if (node === null) directory.durable.delete(name)
    else directory.durable.set(name, node)
  }
  directory.pending = directory.pending.filter((pending) => !names.includes(pending))
}
