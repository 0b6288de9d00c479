// Why a stream cannot be read on: the connection ends, whatever comes behind.

export const ERROR_NOT_ARRAY: u32 = 1
export const ERROR_RESERVED: u32 = 2
export const ERROR_TOO_LARGE: u32 = 3
export const ERROR_TOO_DEEP: u32 = 4
export const ERROR_ACK_TOKEN: u32 = 5

export let refusal: u32 = 0
export let messageBytesMax: u64 = 0

export function setMessageBytesMax(bytes: u64): void {
  messageBytesMax = bytes
}

export function clearRefusal(): void {
  refusal = 0
}

export function refuse(reason: u32): void {
  refusal = reason
}
