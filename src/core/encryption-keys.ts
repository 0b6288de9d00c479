// Runs on: any.
// Master keys of stored records, as the configuration gives them. How segments are encrypted: storage/format/store-keys.ts.

/** The id stands in one byte of every frame header. */
export const KEY_ID_MAX = 255
export const KEY_BYTES = 32

export interface StoreKey {
  /** 1 to 255; stands in the headers of what the key has encrypted. */
  readonly id: number
  /** 32 bytes. */
  readonly key: Uint8Array
}

export interface StoreKeys {
  /** Encrypts new segments; null: they are written plain. */
  readonly current: StoreKey | null
  /** Keys that stored frames may need, the current one among them. */
  readonly all: readonly StoreKey[]
}
