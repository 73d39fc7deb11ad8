/** Completion as the shells themselves make it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-completion-'))
const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0
const path = (shell: string): string => join(dir, `rrep.${shell}`)

beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const made = await runCli(['completion', shell])
    expect(made.code).toBe(0)
    writeFileSync(path(shell), made.out)
  }
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** What bash offers for the last of these words. */
function bash(...words: readonly string[]): readonly string[] {
  const script = `
    source '${path('bash')}'
    COMP_WORDS=(rrep ${words.map((word) => `'${word}'`).join(' ')})
    COMP_CWORD=${words.length}
    _rrep; printf '%s\\n' "\${COMPREPLY[@]}"`
  const out = execFileSync('bash', ['-c', script], { encoding: 'utf8' })
  return out.split('\n').filter((line) => line !== '')
}

test.skipIf(!has('bash'))('bash: commands, those within, options and their values', () => {
  expect(bash('in')).toEqual(['inspect'])
  expect(bash('')).toEqual(expect.arrayContaining(['sync', 'backup', 'history', 'doctor']))
  expect(bash('sync', '--comp')).toEqual(['--compress'])
  expect(bash('export', 'dump.rdb', '--format', 'js')).toEqual(['jsonl', 'json'])
  expect(bash('backup', 'ver')).toEqual(['verify'])
  expect(bash('backup', 'verify', '--pro')).toEqual(['--prove'])
  expect(bash('backup', 'list', '--keep-d')).toEqual(['--keep-daily'])
  expect(bash('backup', 'list', '--pro')).toEqual([])
  // A file: the shell's own.
  expect(bash('inspect', 'du')).toEqual([])
})

test.skipIf(!has('fish'))('fish: the same, with what each is', () => {
  const fish = (line: string): string =>
    execFileSync('fish', ['--no-config', '-c', `source ${path('fish')}; complete -C '${line}'`], {
      encoding: 'utf8',
    })
  expect(fish('rrep ins')).toMatch(/^inspect\t\S/)
  expect(fish('rrep sync --compr')).toMatch(/^--compress\t/)
  expect(fish('rrep backup ver')).toContain('verify')
  expect(fish('rrep export --format js')).toContain('jsonl')
})

test.skipIf(!has('zsh'))('zsh: the script is sound, and names what there is', () => {
  expect(spawnSync('zsh', ['-n', path('zsh')], { encoding: 'utf8' })).toMatchObject({
    status: 0,
    stderr: '',
  })
  const script = `
    zmodload zsh/zpty; zpty z zsh -f -i
    zpty -w z "PROMPT=; autoload -U compinit; compinit -u; source ${path('zsh')}; print ready"
    zpty -r z out '*ready*ready*'
    zpty -w -n z $'rrep sync --comp\\t'
    zpty -r z out '*--compress*' && print found`
  expect(
    spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8', timeout: 20_000 }).stdout,
  ).toContain('found')
})
