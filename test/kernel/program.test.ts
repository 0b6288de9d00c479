import fc from 'fast-check'
import t from 'tap'
import * as codes from '../../src/kernel/codes.ts'
import { ProgramWriter } from '../../src/kernel/program.ts'
import { compileTimeFormat } from '../../src/kernel/time-format.ts'
import {
  entryOf,
  groupOf,
  PLAIN_LAYOUT,
  runRecords,
  sharedKernel
} from './support/render-fixture.ts'
import { step } from './support/step-twin.ts'

function programOf(write: (writer: ProgramWriter) => void): Buffer {
  const writer = new ProgramWriter()
  write(writer)
  return Buffer.from(writer.finish(PLAIN_LAYOUT))
}

t.test('the same steps give the same bytes', async (t) => {
  const write = (writer: ProgramWriter) => {
    writer.setJson(writer.key('a'), '1')
    writer.remove([writer.key('b')])
  }
  t.ok(programOf(write).equals(programOf(write)))
})

t.test('bytes that are no program are refused', async (t) => {
  const kernel = sharedKernel()
  const program = programOf((writer) => writer.remove([writer.key('b')]))
  t.ok(kernel.loadProgram(program))
  const damaged = Buffer.from(program)
  damaged.writeUInt32LE(99_999, damaged.readUInt32LE(8) + 8)
  for (const [name, bytes] of [
    ['empty', Buffer.alloc(0)],
    ['short', program.subarray(0, 100)],
    ['cut', program.subarray(0, program.length - 16)],
    ['other magic', Buffer.concat([Buffer.from('XXXX'), program.subarray(4)])],
    ['unknown id', damaged]
  ] as const) {
    t.throws(() => kernel.loadProgram(bytes), { code: 'MR_TASK' }, name)
  }
})

t.test('jumps backwards, steps and key sets beyond their limits are refused', async (t) => {
  const kernel = sharedKernel()
  const refused = (write: (writer: ProgramWriter) => void) =>
    t.throws(() => kernel.loadProgram(programOf(write)), { code: 'MR_TASK' })
  refused((writer) => {
    const back = writer.label()
    writer.place(back)
    writer.exists(writer.key('a'), back, true)
  })
  refused((writer) => writer.jump(writer.label()))
  refused((writer) => {
    writer.step = codes.STEPS_MAX
    writer.drop()
  })
  refused((writer) => {
    for (let set = 0; set <= codes.KEY_SETS_MAX; set++) writer.keySet({ prefixes: [`p${set}`] })
  })
  refused((writer) => writer.regex(writer.key('a'), 0, writer.label(), true))
})

t.test('a jump that ends among the operands of an op is refused', async (t) => {
  const kernel = sharedKernel()
  const bytes = programOf((writer) => {
    const kept = writer.label()
    writer.exists(writer.key('a'), kept, true)
    writer.setJson(writer.key('b'), '1')
    writer.place(kept)
  })
  const code = bytes.readUInt32LE(8)
  const jump = [...Array(bytes.readUInt32LE(12)).keys()].find(
    (word) => (bytes.readUInt32LE(code + word * 4) & 0xffff) === codes.OP_EXISTS
  )
  if (jump === undefined) {
    t.fail('no op that jumps')
    return
  }
  const target = code + (jump + 2) * 4
  t.ok(kernel.loadProgram(bytes))
  bytes.writeUInt32LE(bytes.readUInt32LE(target) - 1, target)
  t.throws(() => kernel.loadProgram(bytes), { code: 'MR_TASK' })
})

t.test('a program with any words changed is refused or runs within bounds', async (t) => {
  const kernel = sharedKernel()
  let loadedCount = 0
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 0x7fffffff }))), {
        minLength: 1,
        maxLength: 2
      }),
      (steps, changes) => {
        const bytes = programOf((writer) => {
          for (const each of steps) each.write(writer)
        })
        const code = bytes.readUInt32LE(8)
        const words = bytes.readUInt32LE(12)
        for (const [at, word] of changes) bytes.writeUInt32LE(word, code + (at % words) * 4)
        let program: ReturnType<typeof kernel.loadProgram>
        try {
          program = kernel.loadProgram(bytes)
        } catch {
          return
        }
        loadedCount++
        runRecords([])
        kernel.begin(program, { outputBytesMax: 100_000, rowsMax: 10 })
        const payload = groupOf([entryOf({ a: 1, log: '{"a":{"b":1}}', b: [1], x_one: 'x' })])
        kernel.input.set(payload)
        kernel.run({ startByte: 0, endByte: payload.length, firstOffset: 1, appendTimeMs: 1 })
      }
    ),
    { numRuns: 1500, includeErrorInReport: true }
  )
  t.ok(loadedCount > 100, `${loadedCount} changed programs ran`)
})

t.test('more programs than are held come back with their keys and counters', async (t) => {
  const kernel = sharedKernel()
  const programs = Array.from({ length: 40 }, (_, index) =>
    kernel.loadProgram(
      programOf((writer) => {
        writer.remove([writer.key(`gone${index}`)])
        writer.count(codes.COUNT_CHANGED)
      })
    )
  )
  runRecords([])
  const record = Object.fromEntries(
    Array.from({ length: 40 }, (_, index) => [`gone${index}`, index])
  )
  const payload = groupOf([entryOf(record)])
  kernel.input.set(payload)
  for (let round = 0; round < 3; round++) {
    for (const [index, program] of programs.entries()) {
      kernel.begin(program, { outputBytesMax: 100_000, rowsMax: 10 })
      kernel.run({ startByte: 0, endByte: payload.length, firstOffset: 1, appendTimeMs: 1 })
      const line = JSON.parse(kernel.output.toString('utf8', 0, kernel.outputByteCount))
      if (Object.keys(line).length !== 39 || `gone${index}` in line) t.fail(`program ${index}`)
      t.same(kernel.takeCounters(program), [{ step: 1, counter: 'changed', count: 1 }])
    }
  }
})

t.test('time formats compile, unknown directives are named', async (t) => {
  t.same(compileTimeFormat('%F%%'), {
    kind: 'ok',
    bytes: Uint8Array.from([0xd9, 0x2d, 0xed, 0x2d, 0xe4, 0x25, 0])
  })
  t.same(compileTimeFormat('a%!'), { kind: 'unknown', directive: '%!' })
  t.same(compileTimeFormat('%'), { kind: 'unknown', directive: '%' })
  t.throws(() => new ProgramWriter().convert(1, codes.CONVERT_TIME, '%!'), {
    code: 'MR_CONFIG_TEMPLATE'
  })
})
