// Step 10. Runs on: main.
// Where a dead letter goes when it is sent again: to the destination that refused it, to the one that was asked for, or,
// for what no route took, to every destination of the routes that take its tag now.

import type { MillraceConfig, RouteConfig } from '../../config/schema.ts'
import { MillraceError } from '../../core/errors.ts'
import { compileTagMatch } from '../../core/tag.ts'
import { Router } from '../../ingest/router.ts'
import type { StoredLetter } from './scan.ts'

export class LetterRoutes {
  readonly #known: ReadonlySet<string>
  readonly #router: Router<RouteConfig | null>

  constructor(config: MillraceConfig) {
    this.#known = new Set(
      config.routes.flatMap(({ id, to }) => to.map(({ output }) => `${id}/${output}`))
    )
    this.#router = new Router<RouteConfig | null>({
      rules: config.routes.map((route) => ({
        targetOf: () => route,
        matches: compileTagMatch(route.match),
        from: route.from === null ? null : new Set(route.from),
        isContinue: route.goesOn
      })),
      unmatched: null,
      onUnmatched: () => undefined
    })
  }

  has(destination: string): boolean {
    return this.#known.has(destination)
  }

  /** Throws MR_USAGE when letters of the log cannot be sent there. */
  check(log: string, to: string | null): void {
    if (to !== null && !this.has(to)) {
      throw new MillraceError(
        'MR_USAGE',
        `no destination "${to}"; destinations are ${[...this.#known].join(', ')}`
      )
    }
    if (to === null && log.startsWith('in.')) {
      throw new MillraceError(
        'MR_USAGE',
        `${log} holds bytes that were no records: export them with --raw and mend them, or name --to ROUTE/OUTPUT to send them as records with the fields reason, input and bytes`
      )
    }
  }

  /** Keys `<route>/<output>`; none: nothing takes the letter. */
  destinationsOf({ letter, shard }: StoredLetter, to: string | null): readonly string[] {
    if (to !== null) return [to]
    if (shard.log !== 'unmatched')
      return letter.route === '' ? [] : [`${letter.route}/${letter.output}`]
    // Inputs that do not say who sent a record do not say either which input took it.
    const input = Buffer.from(letter.source).toString().split('\0', 1)[0] ?? ''
    const routes = this.#router.lookup(input, Buffer.from(letter.tag))
    return routes.flatMap((route) =>
      route === null ? [] : route.to.map(({ output }) => `${route.id}/${output}`)
    )
  }
}
