// Runs on: any.
// Rows as the kernel renders them, `{"message":"...","timestamp":1763650020000},`, and how the service counts them: the
// text before JSON escaping, in bytes of UTF-8.

/** Bytes that the service counts for the message of a row. Decodes the row: for long ones and rare cases. */
export function countedBytes(row: Buffer): number {
  return Buffer.byteLength(messageOf(row))
}

/** Text of a row, with or without its comma. */
export function messageOf(row: Buffer): string {
  const text = row.toString('utf8').replace(/,$/, '')
  // A cast: the kernel wrote the row in this form.
  return (JSON.parse(text) as { message: string }).message
}

/** The same row with its message cut to `bytesMax`, suffix included; never within a character. */
export function truncateRow(row: Buffer, timeMs: number, bytesMax: number, suffix: string): Buffer {
  const bytes = Buffer.from(messageOf(row))
  let end = Math.max(0, bytesMax - Buffer.byteLength(suffix))
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  const message = `${bytes.toString('utf8', 0, end)}${suffix}`
  return Buffer.from(`{"message":${JSON.stringify(message)},"timestamp":${timeMs}},`)
}
