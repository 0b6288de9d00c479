// Step 6. Runs on: main.
// Main's side of the doorbell of an ingest thread: one word that the thread adds to and notifies. No message per batch.

/** Calls `onRing` after every change, until the signal aborts. Rings that come close together are one call. */
export async function watchDoorbell(
  shared: SharedArrayBuffer,
  onRing: () => void,
  signal: AbortSignal
): Promise<void> {
  const word = new Int32Array(shared, 0, 1)
  // The abort rings too: a wait has no other end.
  signal.addEventListener('abort', () => Atomics.notify(word, 0), { once: true })
  let seen = Atomics.load(word, 0)
  while (!signal.aborted) {
    const waited = Atomics.waitAsync(word, 0, seen)
    if (waited.async) await waited.value
    if (signal.aborted) return
    seen = Atomics.load(word, 0)
    onRing()
    // Work of this turn first: rings that come meanwhile are seen as one.
    await new Promise((resolve) => setImmediate(resolve))
  }
}
