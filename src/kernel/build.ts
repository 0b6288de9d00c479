// Runs on: any (a tool: `npm run kernel`).
// Compiles assembly/index.ts to kernel.wasm. The same sources give the same bytes; the result is committed, so nobody
// needs this step to run, and a test compares.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'
import { MillraceError } from '../core/errors.ts'

/** Constants of the module start here: addresses 0 and 1 mean "cut" and "wrong" in the readers. */
const MEMORY_BASE_BYTE = 1024

const OPTIONS = [
  '-O3',
  '--noAssert',
  '--runtime',
  'stub',
  '--importMemory',
  '--zeroFilledMemory',
  '--memoryBase',
  String(MEMORY_BASE_BYTE),
  '--enable',
  'simd,bulk-memory'
] as const

export const KERNEL_WASM_PATH = fileURLToPath(new URL('./kernel.wasm', import.meta.url))

/** Compiles in memory and gives the module's bytes. */
export async function compileKernel(): Promise<Uint8Array> {
  const sourceDir = fileURLToPath(new URL('./assembly/', import.meta.url))
  let wasm: Uint8Array | undefined
  const { error, stderr } = await asc.main(
    ['index.ts', ...OPTIONS, '--baseDir', sourceDir, '--outFile', 'kernel.wasm'],
    {
      readFile: (name, baseDir) => readOrNull(`${baseDir}/${name}`),
      writeFile: (_name, contents) => {
        if (typeof contents !== 'string') wasm = contents
      },
      listFiles: () => []
    }
  )
  if (error || !wasm) {
    throw new MillraceError('MR_USAGE', `kernel does not compile: ${stderr.toString()}`)
  }
  return wasm
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // asc probes for files (index.ts, name/index.ts) and takes null for "not there".
    return null
  }
}

if (import.meta.main) {
  writeFileSync(KERNEL_WASM_PATH, await compileKernel())
}
