// Step 7. Runs on: any.
// Numbers that the kernel and its typed face agree on. This file is read by Node and by the AssemblyScript compiler, so it
// holds plain integer constants and nothing else. A program that was made with other numbers is refused by PROGRAM_MAGIC.

/** First word of a program, `MRP1`; changes with any change of the numbers below that a stored program would notice. */
export const PROGRAM_MAGIC = 0x3150524d

// Types of a row.
export const ROW_GONE = 0
/** Raw bytes of a str or bin, UTF-8 not yet checked. */
export const ROW_TEXT = 1
/** A MessagePack value with its header. */
export const ROW_RAW = 2
/** A valid JSON value on one line. */
export const ROW_JSON = 3
/** i64 within the row. */
export const ROW_INT = 4
/** Seconds within the row, nanoseconds in its aux word. */
export const ROW_TIME = 5
/** A list of rows in the arena. */
export const ROW_SUB = 6
/** f64 within the row. */
export const ROW_DOUBLE = 7
/** u64 above 2^63 - 1 within the row. */
export const ROW_UINT = 8

/** Flag of a JSON string row: it contains a backslash. */
export const FLAG_ESCAPED = 1
/** Flag of a JSON row: whitespace with newlines between tokens, to be compacted. */
export const FLAG_NEWLINE = 2
/** Flag of a row that a step made. */
export const FLAG_MADE = 4

// Words of a program. An op is `op | step << 16`, its operands follow as words. `field` is a key id, or FIELD_PATH | index
// into the table of paths. `slice` is two words, address (relative to the program) and byte count. `jump` is two words:
// the word to go on at, counted from the first word of the code and always further on, and the test's outcome (0 or 1)
// that jumps.
/** No operands: the record goes out. */
export const OP_END = 0
/** id, slice, row flags, SET_* flags. */
export const OP_SET_JSON = 1
/** id, SET_* flags, address of the parts, count of parts. */
export const OP_SET_TEXT = 2
/** id, field, SET_* flags, fallback slice: copies the row with its type. */
export const OP_COPY = 3
/** No operands: puts what was set with SET_DEFER. */
export const OP_COMMIT = 4
/** Count, ids. */
export const OP_REMOVE = 5
/** Key set, 0 = remove what is in the set, 1 = keep only that. */
export const OP_FILTER_KEYS = 6
/** Flags (1: an existing target wins), count, pairs from and to: all at once. */
export const OP_RENAME = 7
/** field, MATCH_* kind, slice (contains_any: address of pairs and their count), jump. */
export const OP_MATCH = 8
/** field, COMPARE_* relation, NUMBER_* kind, low and high word, jump. */
export const OP_COMPARE = 9
/** field, jump. */
export const OP_EXISTS = 10
/** field, TYPE_* mask, jump. */
export const OP_TYPE_IS = 11
/** field, pattern, jump. */
export const OP_REGEX = 12
/** field, address of the parse options. */
export const OP_PARSE_JSON = 13
/** field, address of the parse options, ids of the ten fields of an access log and of `rest`. */
export const OP_PARSE_ACCESS = 14
/** field, address of the parse options, pattern, count of groups, id of each group (0: not wanted). */
export const OP_PARSE_RX = 15
/** field, address of the parse options: the field's text becomes the record's time. */
export const OP_PARSE_TIME = 16
/** field id, CONVERT_* type, time format address, zone seconds. */
export const OP_CONVERT = 17
/** stage, address of the parse options (its failure policy), count of fields or 0xffffffff for the whole record, ids. */
export const OP_LEAVE_JS = 18
/** No operands: the record ends here, counted as dropped by the step. */
export const OP_DROP = 19
/** Reason: the record's entry goes to the dead letters. */
export const OP_DEAD = 20
/** Word to go on at. */
export const OP_JUMP = 21
/** COUNT_* or REASON_* number: adds one to the step's counter. */
export const OP_COUNT = 22
/**
 * Id whose presence asks (0: always asks), id of the text, id of the mark on incomplete records (0: none), count of ids
 * to clear, how many of them also go when the record is incomplete, ids, count of fields, fields.
 */
export const OP_JOIN = 23
/** Slice, jump: whether the entry came by the input of this id. */
export const OP_FROM_INPUT = 24
/**
 * field, address of the parse options, SYSLOG_OLD and SYSLOG_NEW, SYSLOG_NUMBERS and forms of structured data, zone
 * seconds, addresses of three time formats, ids of facility, severity, host, ident, pid, msgid, message, time (0: not
 * wanted) and structured data.
 */
export const OP_PARSE_SYSLOG = 25
/** field, SET_* flags: the members of a MessagePack map become fields. */
export const OP_MERGE = 26
export const OP_COUNT_ALL = 27

export const SYSLOG_OLD = 1
export const SYSLOG_NEW = 2
/** Facility and severity as numbers. */
export const SYSLOG_NUMBERS = 1
/** Structured data as fields of the record; as it came; else as one map. */
export const SYSLOG_FLAT = 2
export const SYSLOG_TEXT = 4

export const FIELD_PATH = 0x80000000
/** Root of a path into the entry's metadata instead of the record. */
export const ROOT_META = 0
/** Byte count of a path segment that is an index into an array; its address is the index. */
export const SEGMENT_INDEX = 0xffffffff

/** The row is put by the next OP_COMMIT, so that the assignments of one step all read the record before the step. */
export const SET_DEFER = 1
/** An existing field stays as it is. */
export const SET_IF_MISSING = 2
/** OP_COPY: there is a fallback for a missing source; without it nothing is set. */
export const SET_HAS_FALLBACK = 4
/** OP_COPY: a missing source counts as `template_missing`. */
export const SET_COUNT_MISSING = 8
/** OP_SET_TEXT: an empty text sets nothing. */
export const SET_UNLESS_EMPTY = 16

export const MATCH_EQUAL = 0
export const MATCH_PREFIX = 1
export const MATCH_SUFFIX = 2
export const MATCH_CONTAINS = 3
export const MATCH_CONTAINS_ANY = 4

export const COMPARE_EQUAL = 0
export const COMPARE_LESS = 1
export const COMPARE_LESS_EQUAL = 2
export const COMPARE_GREATER = 3
export const COMPARE_GREATER_EQUAL = 4
export const NUMBER_INT = 0
export const NUMBER_UINT = 1
export const NUMBER_DOUBLE = 2

// Masks of OP_TYPE_IS.
export const TYPE_TEXT = 1
export const TYPE_INTEGER = 2
export const TYPE_FLOAT = 4
export const TYPE_BOOLEAN = 8
export const TYPE_NULL = 16
export const TYPE_MAP = 32
export const TYPE_ARRAY = 64
export const TYPE_TIME = 128

export const CONVERT_INTEGER = 1
export const CONVERT_FLOAT = 2
export const CONVERT_TEXT = 3
export const CONVERT_BOOLEAN = 4
export const CONVERT_TIME = 5
/** Text that is JSON becomes the value. */
export const CONVERT_JSON = 6

// Parts of a template, four words each: kind and three operands.
/** slice. */
export const PART_TEXT = 0
/** field, fallback slice (address 0xffffffff: none). */
export const PART_FIELD = 1
export const PART_TAG = 2
/** from, to (exclusive; TAG_PARTS_END: the end): parts of the tag joined by dots, negative from the end. */
export const PART_TAG_PARTS = 3
/** Address of a time format. */
export const PART_TIME = 4
export const PART_SOURCE_ADDRESS = 5
export const PART_POSITION = 6
export const TAG_PARTS_END = 0x7fffffff

// Directives of a time format, besides 0x80 | letter. Other bytes below 0x80 stand for themselves, 0 ends.
/** The next byte stands for itself. */
export const TIME_LITERAL = 1
/** The next byte is the number of digits of the fraction. */
export const TIME_FRACTION_DIGITS = 2
/** A dot or comma and digits, or nothing. */
export const TIME_FRACTION_OPTIONAL = 3
/** `2026-11-20T17:05:09`, at once: most machine-written times begin so. */
export const TIME_DATE_AND_CLOCK = 4

// Parse options, 12 words.
/** PARSE_* flags. */
export const OPTION_FLAGS = 0
/** FAILURE_* of the step. */
export const OPTION_FAILURE = 4
/** Field that FAILURE_TAG sets, and the step's name for it (slice). */
export const OPTION_TAG_ID = 8
export const OPTION_TAG_TEXT = 12
/** Result goes under this id; 0: into the record. */
export const OPTION_INTO = 20
/** Put before keys that are found while parsing (slice). */
export const OPTION_PREFIX = 24
/** Result field that becomes the record's time, its format, and the zone of times without one, in seconds. */
export const OPTION_TIME_ID = 32
export const OPTION_TIME_FORMAT = 36
export const OPTION_ZONE_SECONDS = 40
/** Types of result fields: address of pairs id and CONVERT_*, and their count. */
export const OPTION_TYPES = 44
export const OPTION_BYTES = 56

export const PARSE_KEEP_ORIGINAL = 1
export const PARSE_DROP_OTHERS = 2
/** A missing field is a failure. */
export const PARSE_MISSING_FAILS = 4
/** The time field stays a field. */
export const PARSE_KEEP_TIME = 8
/** An existing field wins; else, with the next flag, it moves to `<key>_orig`; else the result wins. */
export const PARSE_CONFLICT_KEEP = 16
export const PARSE_CONFLICT_RENAME = 32
/** String values that are JSON objects themselves are taken apart too, one level. */
export const PARSE_ALSO_NESTED = 64

export const FAILURE_KEEP = 0
export const FAILURE_DEAD_LETTER = 1
export const FAILURE_DROP = 2
export const FAILURE_TAG = 3

// Counters of a step: 32 numbers of 64 bits. Reasons of failures and dead letters share the space with them.
export const COUNT_IN = 0
export const COUNT_DROPPED = 1
export const COUNT_CHANGED = 2
export const COUNT_DEAD_LETTER = 3
export const REASON_MISSING_FIELD = 4
export const REASON_NOT_TEXT = 5
export const REASON_NO_MATCH = 6
export const REASON_BAD_JSON = 7
export const REASON_NOT_OBJECT = 8
export const REASON_CONVERSION_FAILED = 9
export const REASON_BAD_TIME = 10
export const REASON_TIME_RANGE = 11
export const REASON_ARENA = 12
export const REASON_TOO_MANY_FIELDS = 13
export const REASON_TOO_LARGE = 14
export const REASON_NESTING = 15
export const REASON_NOT_A_RECORD = 16
export const REASON_EMPTY = 17
export const REASON_TEMPLATE_MISSING = 18
export const REASON_JAVASCRIPT = 19
export const REASON_TEXT_TOO_LONG = 20
export const REASON_INVALID_UTF8 = 21
export const REASON_PROGRAM = 22
export const REASON_STEP = 23
export const REASON_DICTIONARY_RESET = 24
export const COUNTERS_PER_STEP = 32
/** Reasons from here on were given by the output for a target (`TargetText` of kind `refuse`). */
export const REASON_TARGET = 32

// Verdicts of an entry.
/** Rendered: it is a row. */
export const VERDICT_OUT = 0
export const VERDICT_DROPPED = 1
export const VERDICT_DEAD_LETTER = 2
/** Held by JavaScript as a member of a group. */
export const VERDICT_HELD = 3
/** Finished before this task, not looked at again. */
export const VERDICT_FINISHED = 4

// Why a run stopped.
export const STOP_END = 0
/** The output or the index has no room for this entry. */
export const STOP_FULL = 1
/** The join asked to stop before or after this entry. */
export const STOP_JOIN = 2
/** The tables of targets or verdicts are full. */
export const STOP_TABLES = 3
/** The bytes are no entries. */
export const STOP_DAMAGED = 4

// Answers of the join import: bits.
export const JOIN_PASS = 0
export const JOIN_HELD = 1
export const JOIN_STOP = 2

// Answers of the JavaScript step import.
export const JS_UNCHANGED = 0
/** The text holds an object of changes; a null removes the field. */
export const JS_CHANGES = 1
/** The text holds the whole new record. */
export const JS_REPLACE = 2
export const JS_DROP = 3
export const JS_FAILED = 4

/** Entries `[time, record]` and `[[time, meta], record]`. */
export const FORM_ENTRIES = 1
/** Whole Message-mode messages `[tag, time, record, option?]`. */
export const FORM_MESSAGES = 2

// Forms of lines.
export const LINE_FORMAT_PLAIN = 0
export const LINE_FORMAT_CRI = 1
export const LINE_FORMAT_DOCKER = 2
export const LINE_FORMAT_COUNTED = 3

// Limits.
export const STEPS_MAX = 256
/** Ids of a dictionary, 0 included, which is none. */
export const IDS_MAX = 4096
export const ROWS_MAX = 960
export const KEY_BYTES_MAX = 1024
export const PATTERNS_MAX = 256
export const KEY_SETS_MAX = 16
export const TEMPLATE_PARTS_MAX = 64
/** MessagePack containers within each other; the scanner takes no deeper record. */
export const NESTING_MAX = 128
export const JSON_NESTING_MAX = 64
/** Longer text takes the failure path of a regex. */
export const REGEX_TEXT_BYTES_MAX = 262144
export const PROGRAM_BYTES_MAX = 524288
