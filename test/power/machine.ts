// A virtual machine whose power can be cut: the process of its monitor is killed, and of what its disk had cached only a
// random part is there when it starts again.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../src/core/clock.ts'
import type { MachineImages } from './machine-images.ts'
import { NbdServer } from './nbd-server.ts'
import { type CutReport, VolatileDisk } from './volatile-disk.ts'

const DISK_BYTES = 512 * 1024 * 1024
const MEMORY_MIB = 768
/** `tcg` needs no support by the processor and is an order of magnitude slower. */
const ACCELERATOR = process.env['MILLRACE_POWER_ACCELERATOR'] ?? 'kvm:tcg'

export interface MachineOptions {
  readonly folder: string
  readonly images: MachineImages
  /** Ports of this machine that lead to ports of the virtual one. */
  readonly ports: readonly { readonly here: number; readonly there: number }[]
}

export class Machine {
  readonly disk: VolatileDisk
  readonly #options: MachineOptions
  readonly #server: NbdServer
  #monitor: ChildProcess | null = null

  private constructor(options: MachineOptions, disk: VolatileDisk) {
    this.#options = options
    this.disk = disk
    this.#server = new NbdServer(disk)
  }

  /** A machine with an empty ext4 on the disk under test; off. */
  static async create(options: MachineOptions): Promise<Machine> {
    const empty = join(options.folder, 'empty.img')
    execFileSync('mkfs.ext4', ['-q', '-F', empty, String(DISK_BYTES / 1024)])
    const machine = new Machine(options, new VolatileDisk(readFileSync(empty)))
    rmSync(empty)
    await machine.#server.listen(join(options.folder, 'disk.sock'))
    return machine
  }

  /** What the machine's console shows of the life that runs, or of the last one. */
  get console(): string {
    return readFileSync(this.#consoleFile, 'latin1')
  }

  get isOn(): boolean {
    return this.#monitor !== null && this.#monitor.exitCode === null
  }

  start(): void {
    const { folder, images, ports } = this.#options
    const forwards = ports.map(({ here, there }) => `hostfwd=tcp:127.0.0.1:${here}-:${there}`)
    const out = openSync(join(folder, 'monitor.log'), 'a')
    this.#monitor = spawn(
      'qemu-system-x86_64',
      [
        [
          '-machine',
          `q35,accel=${ACCELERATOR}`,
          '-cpu',
          'max',
          '-smp',
          '2',
          '-m',
          String(MEMORY_MIB)
        ],
        ['-nodefaults', '-no-reboot', '-display', 'none', '-serial', `file:${this.#consoleFile}`],
        ['-kernel', images.kernel, '-initrd', images.initialRoot],
        ['-append', 'console=ttyS0 quiet panic=-1'],
        ['-drive', `file=${images.rootDisk},format=raw,if=virtio,readonly=on`],
        ['-drive', `file=nbd+unix:///?socket=${folder}/disk.sock,format=raw,if=virtio`],
        ['-netdev', ['user', 'id=n', ...forwards].join(',')],
        ['-device', 'virtio-net-pci,netdev=n,romfile=']
      ].flat(),
      { stdio: ['ignore', out, out] }
    )
  }

  /** The power goes at the write that is the `writeCount`th from now. */
  async cutAfterWrites(writeCount: number, random: Random): Promise<CutReport> {
    return await new Promise((resolve, reject) => {
      this.disk.afterWrites(writeCount, () => {
        this.cut(random).then(resolve, reject)
      })
    })
  }

  /** The power goes. Resolves when the machine is gone and its disk is what the cut left. */
  async cut(random: Random): Promise<CutReport> {
    const monitor = this.#monitor
    this.#server.disconnect()
    const report = this.disk.cut(random)
    if (monitor !== null && monitor.exitCode === null) {
      const gone = new Promise((resolve) => monitor.once('exit', resolve))
      monitor.kill('SIGKILL')
      await gone
    }
    this.#monitor = null
    return report
  }

  close(): void {
    this.#monitor?.kill('SIGKILL')
    this.#server.close()
  }

  get #consoleFile(): string {
    return join(this.#options.folder, 'console.log')
  }
}
