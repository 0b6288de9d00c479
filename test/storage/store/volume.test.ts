import t from 'tap'
import { nodeStorage, type Storage } from '../../../src/storage/storage.ts'
import { checkVolume, networkFileSystem } from '../../../src/storage/store/volume.ts'

const on = (kind: number): Storage => ({
  ...nodeStorage,
  statfs: () => ({ totalBytes: 1, freeBytes: 1, totalInodes: 1, freeInodes: 1, kind })
})

t.test('a network file system is refused unless it is asked for', (t) => {
  t.throws(() => checkVolume(on(0x6969), '/data', false), {
    code: 'MR_STORE_VOLUME',
    message: /NFS.*allow_network_fs/
  })
  checkVolume(on(0x6969), '/data', true)
  t.end()
})

t.test('types are known whatever the sign of the word, and local ones pass', (t) => {
  t.equal(networkFileSystem(0xff534d42), 'CIFS')
  t.equal(networkFileSystem(0xff534d42 | 0), 'CIFS')
  t.equal(networkFileSystem(0xfe534d42), 'SMB')
  for (const local of [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x65735546]) {
    checkVolume(on(local), '/data', false)
  }
  t.end()
})
