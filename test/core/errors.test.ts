import t from 'tap'
import { errnoOf, errorText } from '../../src/core/errors.ts'

t.test('errors that Node has no name for get the one of the system', (t) => {
  const quota = Object.assign(
    new Error("Unknown system error -122: Unknown system error -122, open 'x'"),
    { code: 'Unknown system error -122' }
  )
  t.equal(errnoOf(quota), 'EDQUOT')
  t.equal(errorText(quota), "EDQUOT, open 'x'")
  const unknown = Object.assign(new Error('Unknown system error -250'), {
    code: 'Unknown system error -250'
  })
  t.equal(errnoOf(unknown), 'Unknown system error -250')
  t.equal(errnoOf(Object.assign(new Error('x'), { code: 'EIO' })), 'EIO')
  t.equal(errnoOf('EIO'), '')
  t.equal(errorText('plain'), 'plain')
  t.end()
})
