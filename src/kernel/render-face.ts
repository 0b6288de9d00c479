// Step 7. Runs on: pool.
// What the render kernel takes and gives. Byte views handed to JavaScript are views on kernel memory: read them before the
// call returns, they mean something else afterwards.

/** Bytes around the id of a record of one target; `TargetText` of plugin/output.ts has this shape. */
export type TargetBytes =
  | { readonly kind: 'ok'; readonly prefix: Uint8Array; readonly afterId: Uint8Array }
  | { readonly kind: 'refuse'; readonly reason: string }

/** What a JavaScript step made of a record. `changes`: null removes a field; `replace`: the whole new record. */
export type JsAnswer =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'changes'; readonly json: string }
  | { readonly kind: 'replace'; readonly json: string }
  | { readonly kind: 'drop' }
  | { readonly kind: 'failed' }

/** An entry that a join is asked about. The object is reused. */
export interface JoinEntry {
  readonly offset: number
  readonly epoch: number
  readonly appendTimeMs: number
  /** The entry is finished: it only closes groups; whatever is answered, it is not held. */
  readonly isFinished: boolean
  readonly form: 1 | 2
  readonly tag: Buffer
  /** Input id, NUL, peer address. */
  readonly source: Buffer
  /** The entry's bytes as stored. */
  readonly entry: Buffer
  /** Text of the n-th of JoinFields.fields; null: missing, or a map or array. */
  field(index: number): Buffer | null
}

/** `pass`: no business of the join. `held`: the join owns the entry. `..._stop`: the run stops before / after the entry. */
export type JoinAnswer = 'pass' | 'stop' | 'held' | 'held_stop'

/** What the kernel calls. */
export interface RenderImports {
  /** Once per target and task. */
  target(text: string): TargetBytes
  /** Needed by programs with leaveJs. `json`: an object of the declared fields that are there, or of all. */
  leaveJs?(stage: number, json: string): JsAnswer
  /** Needed by programs with a join. */
  join?(entry: JoinEntry): JoinAnswer
}

/** A program that was loaded; it may have left the kernel meanwhile and comes back with `begin`. */
export interface LoadedProgram {
  readonly bytes: Uint8Array
  readonly stepCount: number
}

export interface TaskLimits {
  /** Rendered bytes at most. */
  readonly outputBytesMax: number
  /** Rendered records at most. */
  readonly rowsMax: number
}

/** A frame's payload in `input`: groups of entries, as the queue stores them. */
export interface FramePlace {
  readonly startByte: number
  readonly endByte: number
  readonly firstOffset: number
  readonly appendTimeMs: number
}

/** `end`: all entries of the frame are judged. `full`, `tables`: no room for the entry at `resumeOffset`. `join`: as the
 * join asked. `damaged`: the bytes at `resumeOffset` are no entries. */
export type RunStop = 'end' | 'full' | 'tables' | 'join' | 'damaged'

export type EntryFate = 'out' | 'dropped' | 'dead_letter' | 'held' | 'finished'

/** Offsets in a row with the same fate. */
export interface VerdictRun {
  readonly firstOffset: number
  readonly count: number
  readonly fate: EntryFate
  /** 0: the output itself. */
  readonly step: number
  /** Name of the reason, '' where there is none. */
  readonly reason: string
}

/** A joined record, rendered from its first member's entry. */
export interface JoinedRecord {
  readonly form: 1 | 2
  readonly entry: Uint8Array
  readonly tag: Uint8Array
  readonly source: Uint8Array
  readonly appendTimeMs: number
  readonly epoch: number
  /** The first member's. */
  readonly offset: number
  readonly text: Uint8Array
  readonly isIncomplete: boolean
  /** Four characters over all members (joinedIdSuffix). */
  readonly idSuffix: string
  /** Handed back as `rows.memberList`; above 0. */
  readonly memberList: number
}

export type JoinedFate =
  | { readonly kind: 'out' }
  | { readonly kind: 'full' }
  | { readonly kind: 'dropped' | 'dead_letter'; readonly step: number; readonly reason: string }

/** Rendered records of the task so far; `RenderedRows` of plugin/output.ts is a part of it. */
export interface KernelRows {
  readonly count: number
  startByte(row: number): number
  byteCount(row: number): number
  target(row: number): number
  timeMs(row: number): number
  /** Record number in the shard; a joined record's is that of its first member. */
  offset(row: number): number
  /** 0: one entry. */
  memberList(row: number): number
  /** `log_events`: UTF-8 bytes of the message before it was escaped. */
  messageByteCount(row: number): number
}

/** One counter of a step since it was last taken. */
export interface StepCount {
  readonly step: number
  /** `in`, `dropped`, `changed`, `dead_letter` or the name of a failure's reason. */
  readonly counter: string
  readonly count: number
}

/** The kernel of step 7. One per pool thread. */
export interface RenderKernelFace {
  /** Frames are read into this. */
  readonly input: Buffer
  /** Rendered bytes that were not taken; `rows` says where they stand, counted from the task's first byte. */
  readonly output: Buffer
  readonly outputByteCount: number
  /** Moves what is in `output` to shared memory and tells how many bytes that was; the next record begins over it. */
  takeOutput(into: WebAssembly.Memory, atByte: number): number
  readonly rows: KernelRows
  /** Texts of the target numbers of `rows`. */
  readonly targets: readonly string[]

  /** Checks a program and compiles its patterns. Throws MR_TASK for bytes that are none. */
  loadProgram(bytes: Uint8Array): LoadedProgram
  /** Begins a task: no rows, no verdicts, no targets. */
  begin(program: LoadedProgram, limits: TaskLimits): void
  /** The shard that following frames belong to. */
  setShard(logId: Uint8Array, epoch: number): void
  /** Offsets to pass over: below `fromOffset`, and the ranges [first, end), ascending. */
  setFinished(fromOffset: number, ranges: readonly (readonly [number, number])[]): void
  /** Whether any group is open: only then entries without `JoinFields.present` are shown to the join. */
  setOpenGroups(isAnyOpen: boolean): void
  run(frame: FramePlace): RunStop
  /** Goes on after `join` where the run stopped. */
  resume(): RunStop
  /** First offset that has no verdict yet. */
  readonly resumeOffset: number
  /** Renders a joined record at this place of the output. */
  renderJoined(record: JoinedRecord): JoinedFate
  verdicts(): readonly VerdictRun[]
  /** Counters of the program's steps, which become zero. */
  takeCounters(program: LoadedProgram): readonly StepCount[]
}
