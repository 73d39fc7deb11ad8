/** Equal values have equal digests in every form and order, others have others. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseScore } from '../../src/rdb/values/score.js'
import { counted, digest, file, text, values } from '../helpers/digests.js'
import { cutEvery, seededRandom } from '../helpers/pieces.js'
import {
  anyBytes,
  anyScore,
  double,
  integerStr,
  intset,
  listpack,
  scoreText,
  str,
} from '../helpers/rdb-values.js'

const shuffled = <T>(elements: readonly T[], seed: number): T[] => {
  const next = seededRandom(seed)
  return elements
    .map((each) => ({ each, at: next() }))
    .sort((x, y) => x.at - y.at)
    .map(({ each }) => each)
}
const distinct = fc.uniqueArray(anyBytes, {
  selector: (each) => each.toString('latin1'),
  minLength: 1,
  maxLength: 40,
})
const isCanonical = (each: Buffer): boolean => /^(0|-?[1-9]\d{0,17})$/.test(each.toString('latin1'))
/** As servers store it: numbers as numbers. */
const entry = (each: Buffer): Buffer | bigint =>
  isCanonical(each) ? BigInt(each.toString('latin1')) : each
const packable = (elements: Buffer[]): boolean => elements.every((each) => each.length < 4000)

function isOne(digests: string[]): void {
  expect(new Set(digests).size).toBe(1)
}

describe('one value in many forms has one digest', () => {
  test('strings: plain, compressed, as a number', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => isOne(values([0, str(bytes)], [0, str(bytes, true)]))),
    )
    fc.assert(
      fc.property(fc.integer({ min: -0x80000000, max: 0x7fffffff }), (number) =>
        isOne(values([0, text(String(number))], [0, integerStr(number)])),
      ),
    )
  })

  test('sets', () => {
    fc.assert(
      fc.property(distinct.filter(packable), fc.nat(), (members, seed) => {
        const other = shuffled(members, seed)
        isOne(
          values(
            [2, counted(members.map((each) => str(each)))],
            [2, counted(other.map((each) => str(each, true)))],
            [20, str(listpack(other.map(entry)))],
            [20, str(listpack(members.map(entry)), true)],
          ),
        )
      }),
    )
    const numbers = fc.uniqueArray(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), {
      minLength: 1,
    })
    fc.assert(
      fc.property(numbers, (members) => {
        const plain = members.map((each) => text(String(each)))
        isOne(values([2, counted(plain)], [11, str(intset(members))]))
      }),
    )
  })

  test('hashes', () => {
    fc.assert(
      fc.property(distinct, fc.nat(), (fields, seed) => {
        const pairs = fields.map((field, at) => [field, fields[fields.length - 1 - at]!])
        const other = shuffled(pairs, seed)
        const forms: [number, Buffer][] = [
          [4, counted(pairs.map((each) => Buffer.concat(each.map((of) => str(of)))))],
          [4, counted(other.map((each) => Buffer.concat(each.map((of) => str(of, true)))))],
        ]
        if (packable(fields)) forms.push([16, str(listpack(other.flat().map(entry)))])
        isOne(values(...forms))
      }),
    )
  })

  test('sorted sets, scores in every spelling', () => {
    fc.assert(
      fc.property(distinct.filter(packable), anyScore, fc.nat(), (members, score, seed) => {
        const scores = members.map((_, at) => score / (at + 1))
        const pairs = members.map((member, at) => [member, scores[at]!] as const)
        const spell = (of: number): Buffer | bigint => entry(Buffer.from(scoreText(of)))
        const short = (of: number): string => String(of).replace('Infinity', 'inf')
        const ascii = (of: number): Buffer =>
          Number.isFinite(of)
            ? Buffer.from([short(of).length, ...Buffer.from(short(of))])
            : Buffer.of(of > 0 ? 254 : 255)
        const other = shuffled(pairs, seed)
        isOne(
          values(
            [5, counted(pairs.map(([member, of]) => Buffer.concat([str(member), double(of)])))],
            [3, counted(other.map(([member, of]) => Buffer.concat([str(member), ascii(of)])))],
            [17, str(listpack(other.flatMap(([member, of]) => [entry(member), spell(of)])))],
            [17, str(listpack(pairs.flatMap(([member, of]) => [member, Buffer.from(short(of))])))],
          ),
        )
      }),
    )
  })

  test('lists, of any nodes', () => {
    const elements = fc.array(
      anyBytes.filter((each) => each.length < 4000),
      {
        minLength: 1,
        maxLength: 40,
      },
    )
    fc.assert(
      fc.property(elements, fc.nat(40), (list, at) => {
        const parts = [list.slice(0, at), list.slice(at)].filter((each) => each.length > 0)
        const nodes = parts.map((each) =>
          Buffer.concat([Buffer.of(2), str(listpack(each.map(entry)))]),
        )
        const plain = list.map((each) => Buffer.concat([Buffer.of(1), str(each)]))
        isOne(
          values(
            [1, counted(list.map((each) => str(each, true)))],
            [18, counted(nodes)],
            [18, counted(plain)],
          ),
        )
      }),
    )
  })

  test('long strings, in one piece or many', () => {
    for (const length of [4095, 16_384, 16_385, 65_537, 200_000, (1 << 20) + 1, (2 << 20) + 13]) {
      const value = Buffer.from(Array.from({ length }, (_, at) => (at * 2654435761) >>> 24))
      const other = Buffer.from(value)
      other[length - 1]! ^= 1
      const of = (bytes: Buffer, cut?: number): string => {
        const rdb = file('REDIS0011', Buffer.of(0), text('key'), str(bytes))
        const pieces = cut === undefined ? [rdb] : cutEvery(rdb, cut)
        return digest(pieces, { fast: cut !== 60_000, tell: true }).told[0]!.value.join(' ')
      }
      const whole = of(value)
      expect([of(value, 9973), of(value, 60_000), of(value, 12_001)]).toEqual([whole, whole, whole])
      expect(of(other) === whole).toBe(false)
    }
  })
})

describe('another value has another digest', () => {
  const differ = (...forms: [number, Buffer][]): void => {
    expect(new Set(values(...forms)).size).toBe(forms.length)
  }

  test('by one bit anywhere in a string', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(), (bytes, at) => {
        if (bytes.length === 0) return
        const other = Buffer.from(bytes)
        other[at % bytes.length]! ^= 1 << (at % 8)
        differ([0, str(bytes)], [0, str(other)])
        differ([2, counted([str(bytes)])], [2, counted([str(other)])])
      }),
    )
  })

  test('by zeros at the end, by where strings part, by the order of a list', () => {
    const zeros = Array.from({ length: 40 }, (_, size) => Buffer.alloc(size))
    differ(...zeros.map((each): [number, Buffer] => [0, str(each)]))
    const parted = Array.from({ length: 24 }, (_, at): [number, Buffer] => [
      4,
      counted([Buffer.concat([str(Buffer.alloc(at)), str(Buffer.alloc(24 - at))])]),
    ])
    differ(...parted)
    const list = ['a', 'b', 'c', 'b'].map(text)
    differ([1, counted(list)], [1, counted(list.toReversed())], [1, counted(list.slice(0, 3))])
    differ([1, counted([list[1]!, list[0]!])], [1, counted(list.slice(0, 2))])
  })

  test('by which field has which value, by the least of a score', () => {
    const pair = (field: string, value: string): Buffer => Buffer.concat([text(field), text(value)])
    differ(
      [4, counted([pair('a', '1'), pair('b', '2')])],
      [4, counted([pair('a', '2'), pair('b', '1')])],
      [4, counted([pair('1', 'a'), pair('2', 'b')])],
    )
    const member = (score: number): Buffer => counted([Buffer.concat([text('m'), double(score)])])
    differ([5, member(0.3)], [5, member(0.1 + 0.2)], [5, member(Infinity)], [5, member(-0.3)])
  })

  test('and among many there is no pair of equals in either half', () => {
    const forms = Array.from({ length: 20_000 }, (_, index): [number, Buffer] => [
      0,
      text(`value ${index}`),
    ])
    const records = forms.map(([type, value]) =>
      Buffer.concat([Buffer.of(type), text('key'), value]),
    )
    const { told } = digest([file('REDIS0011', ...records)], { fast: true, tell: true })
    for (const half of [0, 1] as const) {
      expect(new Set(told.map(({ value }) => value[half])).size).toBe(20_000)
      // 32 bits of either half alone: a pair among 20,000 comes about once in twenty tries.
      for (const shift of [0n, 32n]) {
        const part = told.map(({ value }) => (value[half] >> shift) & 0xffffffffn)
        expect(new Set(part).size).toBeGreaterThan(19_995)
      }
    }
  })
})

describe('scores as text', () => {
  const member = (score: string): Buffer => str(listpack([Buffer.from('m'), Buffer.from(score)]))
  const check = (scores: string[]): void => {
    const forms = scores.flatMap((score): [number, Buffer][] => [
      [17, member(score)],
      [
        5,
        counted([
          Buffer.concat([text('m'), double(parseScore(Buffer.from(score), 0, score.length))]),
        ]),
      ],
    ])
    const found = values(...forms)
    const wrong = scores.filter((_, at) => found[2 * at] !== found[2 * at + 1])
    expect(wrong).toEqual([])
  }

  test('are the double nearest to them', () => {
    const digits = fc.stringMatching(/^-?\d{1,20}(\.\d{1,20})?$/)
    fc.assert(fc.property(fc.array(digits, { minLength: 1, maxLength: 50 }), check))
    const spelled = anyScore.map((each) => scoreText(each))
    fc.assert(fc.property(fc.array(spelled, { minLength: 1, maxLength: 50 }), check))
  })

  test('are that at borders too: halves, powers of two, the longest', () => {
    const halves = [1, 3, 5, 7].map((odd) => `0.${String(odd * 2 ** -4).slice(2)}`)
    const between = Array.from({ length: 60 }, (_, at) => {
      // Exactly half way between two doubles of 2^52 and more.
      const below = 4503599627370496n + BigInt(at)
      return `${below}.5`
    })
    const powers = Array.from({ length: 50 }, (_, at) => {
      const exact = 2 ** (at - 20)
      return [exact.toPrecision(17), (exact * (1 - 2 ** -53)).toPrecision(17)]
    })
    check([
      ...halves,
      ...between,
      ...powers.flat().filter((each) => !each.includes('e')),
      '9007199254740993',
      '9007199254740992.5',
      '999999999999999999',
      '0.999999999999999999',
      '0.000000000000000001',
      '00000000.1',
      '.5',
      '5.',
      '-0',
      '-0.0',
      '1e5',
      '+1',
      'inf',
      '-inf',
    ])
  })
})
