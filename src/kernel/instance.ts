// Runs on: any.
// One instance of the compiled kernel: its memory as a Buffer and its exports. Invariants: memory is created with
// initial = maximum and never grows, so views stay valid for ever; untouched pages cost nothing; every reserved area
// has a tail of TAIL_BYTES that kernel code may load and store beyond its end.

import { readFileSync } from 'node:fs'
import { invariant } from '../core/invariant.ts'

/** Kernel loops load and store whole vectors: up to this many bytes behind an area. */
export const TAIL_BYTES = 64
/** Addresses plus 16-bit lengths must not wrap around (assembly/msgpack.ts). */
const MEMORY_BYTES_MAX = 2 ** 31
const PAGE_BYTES = 65_536
const AREA_ALIGN_BYTES = 64

/** What kernel code may call; one plain function per name. */
export type KernelImports = Readonly<Record<string, (...values: number[]) => number>>

export interface KernelOptions {
  /** Addresses to reserve, in bytes; rounded up to 64 KiB. */
  readonly memoryBytes: number
  /** Functions for the module's imports. Those that are not given stop the process when called. */
  readonly imports?: KernelImports
}

export interface Kernel<Exports> {
  /** The whole memory. An address inside the kernel is an index here. */
  readonly memory: Buffer
  /** The same, for copies to other memories. */
  readonly wasmMemory: WebAssembly.Memory
  readonly exports: Exports
  /** Start of a permanent zeroed area of `byteCount` bytes, 64-byte aligned, with a tail. */
  reserve(byteCount: number): number
  /** Bytes that reserve can still give. */
  freeBytes(): number
}

let compiled: WebAssembly.Module | undefined

/** The module, read and compiled once per thread. */
export function kernelModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./kernel.wasm', import.meta.url)))
  return compiled
}

/** A new instance with its own memory. `Exports` names the functions that the caller uses. */
export function instantiateKernel<Exports extends object>(options: KernelOptions): Kernel<Exports> {
  const pageCount = Math.ceil(options.memoryBytes / PAGE_BYTES)
  const memoryBytes = pageCount * PAGE_BYTES
  invariant(memoryBytes <= MEMORY_BYTES_MAX, `kernel memory of ${memoryBytes} bytes is over 2 GiB`)
  const wasmMemory = new WebAssembly.Memory({ initial: pageCount, maximum: pageCount })
  const module = kernelModule()
  const instance = new WebAssembly.Instance(module, {
    env: { ...unboundImports(module), ...options.imports, memory: wasmMemory }
  })
  // The module is compiled from this folder and a test compares the bytes, so its exports are what the faces declare.
  const exports = instance.exports as unknown as Exports & { firstFreeByte(): number }
  let nextByte = align(exports.firstFreeByte())
  return {
    memory: Buffer.from(wasmMemory.buffer),
    wasmMemory,
    exports,
    reserve(byteCount) {
      const start = nextByte
      const next = align(start + byteCount + TAIL_BYTES)
      invariant(
        Number.isInteger(byteCount) && byteCount >= 0 && next <= memoryBytes,
        `kernel memory of ${memoryBytes} bytes has no room for ${byteCount} more`
      )
      nextByte = next
      return start
    },
    freeBytes: () => Math.max(0, memoryBytes - nextByte - TAIL_BYTES)
  }
}

function align(byte: number): number {
  return Math.ceil(byte / AREA_ALIGN_BYTES) * AREA_ALIGN_BYTES
}

/** Every face uses a part of the module; the functions of the others must exist and are never called. */
function unboundImports(module: WebAssembly.Module): Record<string, () => number> {
  const functions: Record<string, () => number> = {}
  for (const { name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') continue
    functions[name] = () => {
      invariant(false, `kernel import ${name} is not bound`)
      return 0
    }
  }
  return functions
}
