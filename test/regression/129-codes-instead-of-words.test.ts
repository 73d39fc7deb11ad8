/** A user read "8 x duplicates-sampled" as eight duplicates, and a whole report of a text file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { describeFileNotice } from '../../src/cli/render/notices.js'
import { renderTable } from '../../src/cli/render/inspect-table.js'
import { NOTICE } from '../../src/rdb/visitor.js'
import { Chalk } from 'chalk'
import { runCli } from '../helpers/cli.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-words-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('every notice has words of its own', () => {
  for (const code of Object.values(NOTICE)) expect(describeFileNotice(code, 1)).not.toContain(code)
  expect(describeFileNotice('duplicates-sampled', 8)).toContain('one key in 256')
})

test.each([[[]], [['--json']], [['--check', '--json']]])(
  'inspect %j of what is no RDB gives the error alone',
  async (options) => {
    const file = join(dir, 'passwd')
    writeFileSync(file, 'root:x:0:0:root:/root:/bin/bash\n')
    expect(await runCli(['inspect', file, ...options])).toMatchObject({ code: 6, out: '' })
  },
)

test('wide characters do not shift the columns of a pipe', () => {
  const columns = [{ title: 'key' }, { title: 'n' }]
  const text = renderTable(
    columns,
    [
      ['漢字', '1'],
      ['ab', '2'],
    ],
    { rich: false, chalk: new Chalk({ level: 0 }) },
  )
  expect(text.split('\n').slice(1)).toEqual(['漢字  1', 'ab    2'])
})
