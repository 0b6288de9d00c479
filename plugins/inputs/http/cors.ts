// Step 1. Runs on: ingest.
// Which pages may send (Fluentd in_http, cors_allow_origins): exact origins, `*`, or one `*` inside. Requests without an
// Origin header come from no page and are not judged.

export type AllowsOrigin = (origin: string) => boolean

export function allowsOrigin(patterns: readonly string[]): AllowsOrigin {
  const tests = patterns.map((pattern): AllowsOrigin => {
    const star = pattern.indexOf('*')
    if (star < 0) return (origin) => origin === pattern
    const before = pattern.slice(0, star)
    const after = pattern.slice(star + 1)
    return (origin) =>
      origin.length >= before.length + after.length &&
      origin.startsWith(before) &&
      origin.endsWith(after)
  })
  return (origin) => tests.some((test) => test(origin))
}
