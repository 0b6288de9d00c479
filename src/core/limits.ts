// Runs on: any.
// Every hard ceiling that no configuration changes, with its unit and reason. Defaults of options stand in schemas.

const KIB = 1024
const MIB = 1024 * KIB

/** Stored payload of one frame. Checked before anything is allocated for it (queue format). */
export const FRAME_PAYLOAD_BYTES_MAX = 16 * MIB
/** A message up to this lies in one frame, so that it is stored whole or not at all. */
export const MESSAGE_IN_ONE_FRAME_BYTES_MAX = 4 * MIB
/** One message in kernel memory: JSON text, or a request body. Longer Forward messages go through a spool file. */
export const MESSAGE_BYTES_MAX = 32 * MIB
/** Ceiling of max_frame_bytes: places within a message are 32-bit numbers, with room for a read behind them. */
export const LARGE_MESSAGE_BYTES_MAX = 1024 * MIB
/** What of a Forward message, and of a body that is inflated, lies in memory; beyond, all of it is in a spool file. */
export const MESSAGE_IN_MEMORY_BYTES_MAX = 8 * MIB
/** Long bodies are read, checked and stored in parts of this size, other connections in between. */
export const MESSAGE_PART_BYTES = MIB
/** Spool files of one ingest thread together; beyond, only the oldest one grows. */
export const SPOOL_BYTES_MAX = 2048 * MIB
/** One record as received; a longer one goes to the dead letters as `too_large`. */
export const RECORD_BYTES_MAX = 8 * MIB
/** Depth of maps and arrays within a record. */
export const RECORD_NESTING_MAX = 128
/** Depth at which a stream is given up: the check of records recurses, one level of stack per container. */
export const SCAN_NESTING_MAX = 1024
/** Tags are cut to this many bytes; caches of tags are bounded by count. */
export const TAG_BYTES_MAX = 1024
/** Chunk ids above are refused: an ack repeats them. */
export const ACK_TOKEN_BYTES_MAX = 4096
/** Entries of one message; guards the counters of a frame. */
export const MESSAGE_ENTRIES_MAX = 5_000_000
/** Values in a row that are no entries before the rest of a body is given up. */
export const CONSECUTIVE_INVALID_MAX = 1000
/** Bytes written and not yet synced per ingest thread; beyond, its sockets pause. */
export const UNSYNCED_BYTES_MAX = 32 * MIB
/** Unparsed bytes of all connections of one ingest thread; beyond, the largest holder pauses. */
export const PARTIAL_BYTES_MAX = 64 * MIB
/** Finished ranges above the low mark of a cursor; beyond, the window stops growing. */
export const CURSOR_RANGES_MAX = 4000
/** Shards of one ingest thread: what 1 GiB of kernel memory has slabs for. */
export const SHARDS_PER_THREAD_MAX = 512
/** Shards that one route writes: ingest threads x lanes. A chunk id says in 64 bits which of them have its message. */
export const LANES_MAX = 64
/** Chunk ids that each route remembers, so that what is sent again is not stored twice; 37 bytes each. */
export const RESENDS_MAX = 100_000
/** Tags that a router remembers; Docker's default tag is a container id, so there is no end to them. */
export const TAG_CACHE_MAX = 4096
/** Input bytes of one pool task. */
export const TASK_INPUT_BYTES_MAX = 8 * MIB
/** Time of one pool task on its thread, milliseconds; then the thread is ended and replaced. */
export const TASK_MS_MAX = 60_000
/** The same for parts of a task that failed, while the record at fault is sought. */
export const TASK_PART_MS_MAX = 5000
/** Failures of the same task before it is halved. */
export const TASK_FAILURES_MAX = 3
/** Frames of one pool task. */
export const TASK_FRAMES_MAX = 64
/** Rows of failing keys that one lane remembers by offset instead of holding slots; beyond, it takes no further frames. */
export const HELD_ROWS_MAX = 20_000
/** Open groups handed from task to task, serialised: text, first entry and members. Beyond, the largest is finished. */
export const CARRY_BYTES_MAX = 4 * MIB
/** Members of all open groups of a shard and destination; bounds the finished ranges between them. */
export const JOIN_MEMBERS_MAX = 3000
/** Streams with an open group per shard and destination. */
export const JOIN_STREAMS_MAX = 1024
/** A joined Docker line: CloudWatch takes no longer event. */
export const DOCKER_PARTIAL_BYTES_MAX = MIB
/** A group without a new part for this long is finished as incomplete. */
export const JOIN_FLUSH_AFTER_MS = 5000
/** A group may hold segments this long since its first part, milliseconds. */
export const JOIN_AGE_MS_MAX = 60_000
/** Syncs of one thread in libuv's pool of 16, which look-ups of names share. */
export const SYNCS_IN_FLIGHT_MAX = 8

/** Own log lines that wait for the `internal` input, with those on their way to it; beyond, they are dropped and counted. */
export const OWN_LOG_BYTES_MAX = MIB
/** Own log lines per second that become records, and how many at once: what they cause may be logged again. */
export const OWN_LOG_RATE_MAX = 100
export const OWN_LOG_BURST_MAX = 1000

/** Filter of a command (`--where`), characters. */
export const WHERE_CHARS_MAX = 4096
/** Parentheses and negations within each other: the compiler recurses. */
export const WHERE_NESTING_MAX = 64

/** Bodies of all requests that one output may have in flight; with their row indices it stays below 4 GiB of addresses. */
export const SLOTS_BYTES_MAX = 3 * 1024 ** 3
/** Descriptors that the connections of an input leave to the queue, the outputs and the admin server. */
export const OPEN_FILES_RESERVED = 1000
