// The compiled unit: one line per file. Every file reads addresses that its caller has checked.

/** First address behind the constants of the module; everything below belongs to the compiler. */
export function firstFreeByte(): usize {
  return __heap_base
}

export { xxh64, xxh64Begin, xxh64Digest, xxh64Update } from './xxh64'
export {
  scanBody,
  scanBodyPart,
  scanConsumedBytes,
  scanErrorReason,
  scanIsDecided,
  scanNeededBytes,
  scanPartEntries,
  scanPartInvalidRun,
  scanPartLeft,
  scanPartMarker,
  scanPartMarkerBytes,
  scanScannedBytes,
  scanSetLimits,
  scanSetMessageMax,
  scanSetTables,
  scanStream,
  scanUnitCount,
  scanValuesLeft,
  skipPart,
  skipPartBytes,
  skipPartLeft
} from './scan'

export { laneBegin, laneGather, laneRowCount, laneSetTables, laneSplit } from './lane-split'

export {
  badTimeCount,
  beginFrame,
  beginTask,
  dictionaryState,
  initRender,
  internKey,
  invalidByteCount,
  joinedReason,
  joinPlace,
  loadSlot,
  mailbox,
  programCounters,
  programSlotBytes,
  renderAreas,
  renderedCount,
  renderedEnd,
  restoreDictionary,
  resumeOffset,
  runFrame,
  runJoined,
  sealDictionary,
  setFinished,
  setGeneration,
  setJoinedPlace,
  setOpenGroups,
  setShard,
  takeOutput,
  takeTargetBytes,
  targetEntry,
  targetsMade,
  useSlot,
  verdictCount
} from './render'
export {
  bulkToEntries,
  jsonErrorByte,
  jsonErrorReason,
  jsonListState,
  jsonSetRules,
  jsonToEntries,
  jsonToMessages,
  jsonToObject
} from './json-entries'
export { packListLeft, packToEntries } from './pack-entries'
export { jsonRecordByte, jsonRecordCount } from './record-entries'
export { recordSetExtra, recordSetTimeRules } from './record-rules'
export { jsonSplit, jsonSplitByte, jsonSplitDepth, jsonSplitState } from './json-split'
export {
  otlpBegin,
  otlpEnd,
  otlpNext,
  otlpPairCount,
  otlpPairsEnd,
  otlpRejectCount
} from './otlp'
export { otlpJsonToProtobuf } from './otlp-json'
export {
  lineConsumedByte,
  lineCutCount,
  lineIsBroken,
  lineIsFull,
  lineNeededBytes,
  lineOpenBytes,
  lineRecordCount,
  lineUnreadCount,
  linesToEntries
} from './lines'
