// What the virtual machine starts from: an initial file system with the drivers, and a read-only disk with Node, the built
// program, its packages and the configuration. Made from this machine's own files; nothing is fetched.

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'

const PROJECT = join(import.meta.dirname, '../..')
/** In the order in which they depend on each other. */
const MODULES = [
  'virtio',
  'virtio_ring',
  'virtio_pci_modern_dev',
  'virtio_pci_legacy_dev',
  'virtio_pci',
  'virtio_blk',
  'failover',
  'net_failover',
  'virtio_net'
]
const ROOT_SIZE = '700M'

export interface MachineImages {
  readonly kernel: string
  readonly initialRoot: string
  readonly rootDisk: string
}

export interface ImageSources {
  /** The unpacked package of a Debian kernel. */
  readonly kernelFolder: string
  /** Folder with `src` and `plugins` as compiled. */
  readonly program: string
  readonly config: string
}

export function buildImages(folder: string, sources: ImageSources): MachineImages {
  const boot = join(sources.kernelFolder, 'boot')
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz'))
  if (kernel === undefined) throw new Error(`no kernel in ${boot}`)
  return {
    kernel: join(boot, kernel),
    initialRoot: buildInitialRoot(join(folder, 'initial'), sources.kernelFolder),
    rootDisk: buildRootDisk(join(folder, 'root'), sources)
  }
}

function buildInitialRoot(folder: string, kernelFolder: string): string {
  for (const name of ['bin', 'modules']) mkdirSync(join(folder, name), { recursive: true })
  copyFileSync(pathOf('busybox'), join(folder, 'bin/busybox'))
  copyFileSync(join(import.meta.dirname, 'init'), join(folder, 'init'))
  chmodSync(join(folder, 'init'), 0o755)
  const modules = readdirSync(join(kernelFolder, 'lib/modules'), { recursive: true }).map(String)
  for (const name of MODULES) {
    const found = modules.find((path) => basename(path) === `${name}.ko`)
    if (found === undefined) throw new Error(`no driver ${name} below ${kernelFolder}`)
    copyFileSync(join(kernelFolder, 'lib/modules', found), join(folder, `modules/${name}.ko`))
  }
  writeFileSync(join(folder, 'modules/order'), MODULES.map((name) => `${name}.ko\n`).join(''))
  const image = `${folder}.cpio`
  const pack = 'find . | busybox cpio -o -H newc 2>/dev/null > "$0"'
  execFileSync('sh', ['-c', pack, image], { cwd: folder })
  return image
}

function buildRootDisk(folder: string, { config, program }: ImageSources): string {
  for (const name of ['bin', 'etc', 'data', 'dev', 'proc', 'sys', 'tmp', 'opt/millrace']) {
    mkdirSync(join(folder, name), { recursive: true })
  }
  copyFileSync(pathOf('busybox'), join(folder, 'bin/busybox'))
  copyProgram(process.execPath, join(folder, 'bin/node'), folder)
  copyProgram(pathOf('flock'), join(folder, 'bin/flock'), folder)
  writeFileSync(join(folder, 'etc/millrace.yaml'), config)
  const home = join(folder, 'opt/millrace')
  cpSync(program, join(home, 'dist'), { recursive: true })
  copyFileSync(join(PROJECT, 'package.json'), join(home, 'package.json'))
  const npm = ['ls', '--omit=dev', '--all', '--parseable']
  const packages = execFileSync('npm', npm, { cwd: PROJECT, encoding: 'utf8' }).trim().split('\n')
  for (const path of packages.filter((path) => path.includes('node_modules'))) {
    const place = path.slice(path.indexOf('node_modules'))
    const skip = (from: string) => from === path || !relative(path, from).startsWith('node_modules')
    cpSync(path, join(home, place), { recursive: true, dereference: true, filter: skip })
  }
  const image = `${folder}.img`
  execFileSync('mkfs.ext4', ['-q', '-F', '-O', '^has_journal', '-d', folder, image, ROOT_SIZE])
  return image
}

/** A program and the libraries that its loader would find. */
function copyProgram(from: string, to: string, root: string): void {
  copyFileSync(from, to)
  chmodSync(to, 0o755)
  const libraries = execFileSync('ldd', [from], { encoding: 'utf8' }).matchAll(/(\/\S+) \(0x/g)
  for (const [, path = ''] of libraries) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    copyFileSync(path, join(root, path))
  }
}

const pathOf = (program: string): string =>
  execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()
