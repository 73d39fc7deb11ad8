// Benchmark data as a RESP stream on stdout, always the same bytes: node bench-data.mjs A|B|C|D | redis-cli -p PORT --pipe, then SAVE.
// A: 5,000,000 small strings, 20% with expiry. B: 200,000 collections of 5-200 elements. C: 2,000 strings of 256 KB. D: a mix, about 1 GB.
import { writeSync } from 'node:fs'
const kind = process.argv[2]
const CAP = 8 << 20
const out = Buffer.allocUnsafe(CAP + (1 << 20))
let o = 0
let s0 = 0x9e3779b9 ^ kind.charCodeAt(0),
  s1 = 0x243f6a88
function rnd() {
  let t = s0
  const s = s1
  s0 = s
  t ^= t << 23
  t ^= t >>> 17
  t ^= s ^ (s >>> 26)
  s1 = t
  return (t + s) >>> 0
}
function flush() {
  let p = 0
  while (p < o) {
    try {
      p += writeSync(1, out, p, o - p)
    } catch (e) {
      if (e.code !== 'EAGAIN') throw e
    }
  }
  o = 0
}
const AL = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_'
function rs(n) {
  let r = ''
  while (n > 0) {
    let x = rnd()
    for (let i = 0; i < 5 && n > 0; i++, n--) {
      r += AL[x & 63]
      x >>>= 6
    }
  }
  return r
}
function cmd(args) {
  let h = '*' + args.length + '\r\n'
  for (const a of args) {
    if (typeof a === 'string') {
      h += '$' + a.length + '\r\n' + a + '\r\n'
    } else {
      h += '$' + a.length + '\r\n'
      o += out.latin1Write(h, o)
      if (o + a.length > CAP) flush()
      a.copy(out, o)
      o += a.length
      h = '\r\n'
    }
    if (h.length > 65536) {
      o += out.latin1Write(h, o)
      h = ''
      if (o > CAP) flush()
    }
  }
  o += out.latin1Write(h, o)
  if (o > CAP) flush()
}
const EX = 1893456000000 // 2030
function smallStrings(n, pfx) {
  for (let i = 0; i < n; i++) {
    const k =
      pfx +
      ':' +
      String(i).padStart(9, '0') +
      ':' +
      rs(17 - pfx.length > 0 ? 20 - pfx.length - 11 : 4)
    const r = rnd() % 100
    let v
    if (r < 10) v = String(rnd())
    else v = rs(24 + (rnd() % 17))
    if (rnd() % 5 === 0) cmd(['SET', k, v, 'PXAT', String(EX + (rnd() % 1000000000))])
    else cmd(['SET', k, v])
  }
}
function collections(n, pfx) {
  for (let i = 0; i < n; i++) {
    const t = rnd() % 4,
      ne = 5 + (rnd() % 196)
    const k = pfx + ':' + ['h', 'z', 'l', 's'][t] + ':' + i + ':' + rs(6)
    const a = []
    if (t === 0) {
      a.push('HSET', k)
      const big = rnd() % 20 === 0
      for (let j = 0; j < ne; j++) {
        a.push('f' + j + rs(4))
        a.push(rnd() % 4 === 0 ? String(rnd() % 100000) : rs(big ? 70 : 8 + (rnd() % 24)))
      }
    } else if (t === 1) {
      a.push('ZADD', k)
      const fl = rnd() % 2
      for (let j = 0; j < ne; j++) {
        a.push(fl ? String(rnd() / 1e5) : String(rnd() % 1000000))
        a.push('m' + j + rs(8))
      }
    } else if (t === 2) {
      a.push('RPUSH', k)
      for (let j = 0; j < ne; j++)
        a.push(rnd() % 4 === 0 ? String(rnd() % 100000) : rs(8 + (rnd() % 60)))
    } else {
      a.push('SADD', k)
      const ints = rnd() % 2
      for (let j = 0; j < ne; j++) a.push(ints ? String(rnd() % 10000000) : rs(10 + (rnd() % 20)))
    }
    cmd(a)
    if (rnd() % 10 === 0) cmd(['PEXPIREAT', k, String(EX + (rnd() % 1000000000))])
  }
}
function bigStrings(n, pfx, size) {
  for (let i = 0; i < n; i++) {
    const b = Buffer.allocUnsafe(size)
    if (i & 1) {
      for (let j = 0; j < size; j += 4) b.writeUInt32LE(rnd(), j)
    } else {
      let j = 0
      let id = 0
      while (j < size) {
        const s = `{"id":${id++},"name":"${rs(8)}","email":"${rs(6)}@example.com","active":${rnd() & 1 ? true : false},"score":${rnd() % 10000}},`
        j += b.latin1Write(s, j)
      }
    }
    cmd(['SET', pfx + ':' + i, b])
  }
}
function jsonStrings(n, pfx) {
  for (let i = 0; i < n; i++) {
    const m = 3 + (rnd() % 20)
    let s = '['
    for (let j = 0; j < m; j++)
      s += `{"id":${rnd()},"name":"${rs(8)}","email":"${rs(6)}@example.com","active":true,"tags":["alpha","beta","gamma"]},`
    cmd(['SET', pfx + ':' + i, s + ']'])
  }
}
function streams(n, pfx) {
  for (let i = 0; i < n; i++) {
    const k = pfx + ':' + i
    for (let j = 0; j < 20; j++)
      cmd(['XADD', k, `${1700000000000 + j}-${j}`, 'temp', String(rnd() % 100), 'user', rs(8)])
    cmd(['XGROUP', 'CREATE', k, 'g1', '0'])
  }
}
if (kind === 'A') smallStrings(5000000, 'user')
if (kind === 'B') collections(200000, 'col')
if (kind === 'C') bigStrings(2000, 'big', 262144)
if (kind === 'D') {
  smallStrings(6000000, 'user')
  collections(180000, 'col')
  bigStrings(800, 'big', 262144)
  jsonStrings(150000, 'json')
  streams(5000, 'st')
}
flush()
