// CloudWatch Logs JSON 1.1 as far as a sender under load needs it; PutLogEvents counts events and checks the batch limits.

import { countMark, type Seen } from './seen.ts'

const EVENTS_MAX = 10_000

export interface CloudWatchAnswer {
  readonly status: number
  readonly body: string
}

function countEvents(seen: Seen, body: Buffer): number {
  let count = 0
  let stride = 0
  let previous = 0
  let at = 0
  for (;;) {
    const next = countMark(seen, body, at, body.length, previous + stride - 14)
    if (next < 0) return count
    stride = next - previous
    previous = next
    at = next
    count++
  }
}

export function answerCloudWatch(seen: Seen, operation: string, body: Buffer): CloudWatchAnswer {
  if (operation !== 'PutLogEvents') {
    const isDescribe = operation.startsWith('Describe')
    return { status: 200, body: isDescribe ? '{"logGroups":[],"logStreams":[]}' : '{}' }
  }
  if (countEvents(seen, body) > EVENTS_MAX) {
    const text = { __type: 'InvalidParameterException', message: 'more than 10000 events' }
    return { status: 400, body: JSON.stringify(text) }
  }
  return { status: 200, body: '{"nextSequenceToken":"1"}' }
}
