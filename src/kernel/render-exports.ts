// Step 7. Runs on: pool.
// The functions of assembly/render.ts and their units: addresses and counts as numbers, 64-bit words as bigint.

export interface RenderExports {
  initRender(seed: bigint): void
  renderAreas(
    arena: number,
    arenaBytes: number,
    output: number,
    rowIndex: number,
    verdictRuns: number,
    finishedRanges: number,
    targets: number
  ): void
  programSlotBytes(): number
  programCounters(slot: number): number
  loadSlot(slot: number): void
  useSlot(slot: number): void
  internKey(address: number, byteCount: number): number
  sealDictionary(): void
  dictionaryState(which: number): number
  restoreDictionary(
    ids: number,
    fixedIds: number,
    textBytes: number,
    fixedTextBytes: number,
    wraps: number,
    isQuotedTwice: boolean
  ): void
  setGeneration(generation: number): void
  beginTask(outputBytes: number, rowsMax: number): void
  setShard(logIdHigh: number, logIdLow: number, epoch: number): void
  setFinished(fromOffset: bigint, rangeCount: number): void
  setOpenGroups(isAnyOpen: boolean): void
  beginFrame(start: number, end: number, firstOffset: bigint, appendTimeMs: bigint): void
  runFrame(): number
  resumeOffset(): bigint
  runJoined(
    entry: number,
    entryEnd: number,
    form: number,
    text: number,
    textBytes: number,
    isIncomplete: boolean,
    memberList: number,
    idSuffix: number
  ): number
  setJoinedPlace(
    offset: bigint,
    appendTimeMs: bigint,
    tag: number,
    tagBytes: number,
    source: number,
    sourceBytes: number
  ): void
  /** Step and reason of the last joined record that did not go out: reason << 8 | step. */
  joinedReason(): number
  joinPlace(): number
  mailbox(): number
  renderedEnd(): number
  takeOutput(): void
  renderedCount(): number
  verdictCount(): number
  targetsMade(): number
  targetEntry(number: number): number
  takeTargetBytes(byteCount: number): number
  badTimeCount(): bigint
  invalidByteCount(): bigint
}
