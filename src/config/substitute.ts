// Runs on: main.
// Environment variables and secret files in scalar values. Substitution happens on parsed values, never on the text of
// the file, so that a value cannot bring structure. What comes in is literal: a `${` in it is escaped as `$${`.
//
//   ${NAME}  ${NAME:-default}  ${NAME:?message}  ${file:/run/secrets/x}      $${ is a literal ${

import { type ErrorCode, errnoOf } from '../core/errors.ts'

export interface SubstitutionSource {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Reads a secret file; relative paths are those of the configuration file. */
  readFile(path: string): string
}

export interface SubstitutionFault {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | null
}

export interface Substituted {
  readonly text: string
  readonly isSubstituted: boolean
  readonly faults: readonly SubstitutionFault[]
}

const PLACEHOLDER =
  /(\$\$\{)|\$\{([A-Z_][A-Z0-9_]*)(?:(:-|:\?)([^}]*))?\}|\$\{file:([^}]*)\}|\$\{(secret:[^}]*)\}/g

/** Replaces the placeholders of one scalar. Placeholders of records (lower case) stay for templates. */
export function substitute(text: string, source: SubstitutionSource): Substituted {
  const faults: SubstitutionFault[] = []
  let isSubstituted = false
  const literal = (value: string) => {
    isSubstituted = true
    return value.replaceAll('${', () => '$${')
  }
  const replaced = text.replaceAll(
    PLACEHOLDER,
    (whole, escaped, name, operator, operand, file, store) => {
      if (escaped !== undefined) return whole
      if (file !== undefined) return literal(readSecret(String(file), source, faults))
      if (store !== undefined) {
        faults.push({
          code: 'MR_CONFIG_ENV',
          message: `${whole} names a secret store, and none is built in`,
          hint: 'write ${file:/path} or ${NAME}'
        })
        return ''
      }
      const value = source.environment[String(name)]
      // As in a shell, `:-` and `:?` take an empty value for an unset one.
      if (value !== undefined && (value !== '' || operator === undefined)) return literal(value)
      if (operator === ':-') return literal(String(operand))
      const reason = operator === ':?' && operand !== '' ? `: ${operand}` : ''
      faults.push({
        code: 'MR_CONFIG_ENV',
        message: `environment variable ${name} is not set${reason}`,
        hint: `set it, or write \${${name}:-default}`
      })
      return ''
    }
  )
  return { text: replaced, isSubstituted, faults }
}

function readSecret(path: string, source: SubstitutionSource, faults: SubstitutionFault[]): string {
  try {
    return source.readFile(path).replace(/\r?\n$/, '')
  } catch (error) {
    faults.push({
      code: 'MR_CONFIG_READ',
      message: `secret file ${path} cannot be read: ${errnoOf(error) || 'unknown error'}`,
      hint: null
    })
    return ''
  }
}
