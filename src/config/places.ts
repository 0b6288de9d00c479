// Runs on: main.
// Where each key and value of the configuration stands in its file. A tree beside the data, so that blocks merged from
// several files or from `defaults` keep the place where they were written.

import type { ConfigPath, Place } from './findings.ts'

export interface PlaceTree {
  /** Of the key; of the value for items of lists and the whole document. */
  readonly key: Place
  readonly value: Place
  /** The text came from an environment variable or a file, so it has no type of its own. */
  isSubstituted: boolean
  readonly children: Map<string | number, PlaceTree>
}

export function placeTree(key: Place, value: Place, isSubstituted = false): PlaceTree {
  return { key, value, isSubstituted, children: new Map() }
}

/** The tree at a path, or the deepest one above it that was written. */
export function treeAt(tree: PlaceTree, path: ConfigPath): PlaceTree {
  let at = tree
  for (const key of path) {
    const child = at.children.get(key) ?? at.children.get(String(key))
    if (child === undefined) return at
    at = child
  }
  return at
}
