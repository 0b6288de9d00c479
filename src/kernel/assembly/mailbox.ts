// Words that JavaScript and the kernel leave for each other within one call.

export const MAILBOX = memory.data(64, 16)
